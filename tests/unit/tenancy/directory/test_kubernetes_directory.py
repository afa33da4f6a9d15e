"""A directory that follows a cluster: what the cluster says counts, what it does not say changes nothing."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from policies.names import ProjectId, namespace_of
from tenancy.directory.kubernetes_directory import KubernetesDirectory, tenant_in
from tenancy.directory.protocol import Tenant
from tenancy.kubernetes.client import Change, Kind, Listing
from tenancy.kubernetes.informer import WatchIntervals
from tenancy.model.errors import (
    ClusterError,
    DirectoryError,
    ExpiredError,
    NotFoundError,
    NotOnboardedError,
    UnavailableError,
)
from tests.machine import scaled

INGRESS = "http://ingress.test"
QUICK = WatchIntervals(relist=60, first_pause=0.001, max_pause=0.002)


def manifest(project: str, *, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "osfaas.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": namespace_of(ProjectId(project)), "resourceVersion": "5", "generation": 1},
        "spec": {"projectID": project, "functions": ["checksums"], **spec},
        "status": status or {},
    }


def tenant(project: str, *, status: dict[str, Any] | None = None, **spec: Any) -> Tenant:
    return tenant_in(manifest(project, status=status, **spec), local_gateway_url=INGRESS)


class Cluster:
    """Answers lists and watches from a script, one step after the other; then its watch stays silent."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)
        self.asked: list[str] = []
        self.exhausted = threading.Event()

    def list(self, kind: Kind, *, labels: str) -> Listing:
        self.asked.append("list")
        step = self._next()
        if isinstance(step, Exception):
            raise step
        return Listing(tuple(step), "1")

    def watch(self, kind: Kind, since: str, *, labels: str) -> Iterator[Change]:
        self.asked.append(f"watch {since}")
        while True:
            step = self._next()
            if step is None:
                return
            if isinstance(step, Exception):
                raise step
            yield step

    def _next(self) -> Any:
        if self._script:
            return self._script.pop(0)
        self.exhausted.set()
        threading.Event().wait()
        raise AssertionError


Follow = Callable[..., KubernetesDirectory]


@pytest.fixture
def follow() -> Iterator[Follow]:
    made: list[KubernetesDirectory] = []

    def start(*script: Any) -> KubernetesDirectory:
        cluster = Cluster(*script)
        directory = KubernetesDirectory(cluster, local_gateway_url=INGRESS, intervals=QUICK)
        made.append(directory)
        directory.start()
        assert cluster.exhausted.wait(scaled(5)), cluster.asked
        directory.cluster = cluster  # type: ignore[attr-defined]
        return directory

    yield start
    for each in made:
        each.close()


def known(directory: KubernetesDirectory, project: str) -> bool:
    try:
        directory.tenant_of(ProjectId(project))
    except NotOnboardedError:
        return False
    return True


def change(kind: str, project: str, **spec: Any) -> Change:
    return Change(kind, manifest(project, **spec))


def test_before_the_first_list_nobody_is_called_unknown(follow: Follow) -> None:
    """A caller must not read 'not onboarded' because our own cluster is away."""
    directory = follow(UnavailableError("refused"), UnavailableError("refused"))
    with pytest.raises(DirectoryError):
        directory.tenant_of(ProjectId("a"))
    assert directory.sync_age_seconds() is None


def test_project_without_a_record_is_not_onboarded(follow: Follow) -> None:
    directory = follow([manifest("a")])
    with pytest.raises(NotOnboardedError):
        directory.tenant_of(ProjectId("b"))


def in_domain(domain: str, state: str = "Enabled") -> dict[str, Any]:
    return {"project": {"state": state, "name": "n", "domainID": domain}}


def test_domain_has_the_tenants_whose_project_is_known_to_be_of_it(follow: Follow) -> None:
    """Not those whose domain is unknown, and none that Keystone has no more; a disabled project is still its own."""
    first = [
        manifest("a", status=in_domain("d1")),
        manifest("b", status=in_domain("d1", "Disabled")),
        manifest("c", status=in_domain("d2")),
        manifest("d"),
        manifest("e", status=in_domain("d1", "Deleted")),
        manifest("f", status=in_domain("")),
    ]
    directory = follow(first, Change("MODIFIED", manifest("d", status=in_domain("d1"))), change("DELETED", "a"))
    assert directory.namespaces_in("d1") == {"faas-b", "faas-d"}
    assert directory.namespaces_in("d2") == {"faas-c"}
    assert directory.namespaces_in("") == frozenset()
    assert directory.namespaces_in("d3") == frozenset()


@pytest.mark.parametrize(
    "failure", [UnavailableError("down"), ClusterError("403"), NotFoundError("no such kind"), ValueError("not JSON")]
)
def test_failure_of_list_or_watch_keeps_what_is_known(follow: Follow, failure: Exception) -> None:
    directory = follow([manifest("a")], failure, failure, failure)
    assert known(directory, "a")
    assert directory.sync_age_seconds() is not None


def test_expired_watch_is_followed_by_a_new_list(follow: Follow) -> None:
    directory = follow([manifest("a")], ExpiredError("410"), [manifest("b")])
    assert (known(directory, "a"), known(directory, "b")) == (False, True)
    assert directory.cluster.asked == ["list", "watch 1", "list", "watch 1"]  # type: ignore[attr-defined]


def test_watch_goes_on_from_the_last_version_seen_bookmarks_included(follow: Follow) -> None:
    bookmark = Change("BOOKMARK", {"metadata": {"resourceVersion": "77"}})
    directory = follow([manifest("a")], bookmark, None)
    assert directory.cluster.asked == ["list", "watch 1", "watch 77"]  # type: ignore[attr-defined]
    assert known(directory, "a")


def test_new_record_is_served_and_deleted_one_is_not(follow: Follow) -> None:
    directory = follow([manifest("a")], change("ADDED", "b"), change("DELETED", "a"))
    assert (known(directory, "a"), known(directory, "b")) == (False, True)


def test_broken_record_grants_nothing_and_breaks_no_other(follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    broken = {**manifest("b"), "spec": {"projectID": "b", "limits": "many"}}
    stolen = {**manifest("a"), "metadata": {"name": "faas-x", "resourceVersion": "5"}}
    with caplog.at_level(logging.ERROR):
        directory = follow([broken, manifest("a"), stolen], change("ADDED", "c"))
    assert [known(directory, project) for project in "abc"] == [True, False, True]
    assert "faas-b" in caplog.text
    assert "faas-x" in caplog.text


def test_record_that_becomes_broken_is_no_longer_served(follow: Follow) -> None:
    """Nobody can tell whether the change that is not understood was a suspension."""
    directory = follow([manifest("a")], Change("MODIFIED", {**manifest("a"), "spec": {"projectID": 7}}))
    assert not known(directory, "a")


def test_change_of_one_tenant_does_not_copy_the_others(follow: Follow) -> None:
    directory = follow([manifest("a")])
    before = directory._tenants
    directory.apply(change("ADDED", "b"))
    directory.apply(change("DELETED", "a"))
    assert before is directory._tenants
    assert before is not None
    assert set(before) == {"b"}


def test_deletion_of_a_record_that_was_never_served_changes_nothing(follow: Follow) -> None:
    directory = follow([manifest("a")], change("DELETED", "b"))
    assert known(directory, "a")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (tenant("a", suspended="unpaid"), "unpaid"),
        (tenant("a", offboarding={"requestedAt": "2026-11-24T12:00:00Z", "graceSeconds": 60}), "offboarded"),
        (tenant("a", status={"project": {"state": "Disabled"}}), "disabled in Keystone"),
        (tenant("a", status={"project": {"state": "Deleted"}}), "no longer exists"),
    ],
)
def test_suspension_has_its_reason(record: Tenant, reason: str) -> None:
    assert record.suspended is not None
    assert reason in record.suspended


@pytest.mark.parametrize("state", ["Unknown", "Enabled"])
def test_silence_of_keystone_suspends_nobody(state: str) -> None:
    assert tenant("a", status={"project": {"state": state}}).suspended is None


def test_function_of_the_specification_is_known_before_the_controller_reports_and_not_callable() -> None:
    (address,) = tenant("a").functions.values()
    assert (address.url, address.host) == (INGRESS, "checksums.faas-a.svc.cluster.local")
    assert not address.callable
    assert address.problem is None


def test_callable_functions_and_troubles_come_from_the_status() -> None:
    functions = tenant(
        "a",
        status={
            "functions": [
                {"name": "checksums", "ready": True, "reason": "ExceededQuota", "message": "no room"},
                {"name": "echo", "ready": True, "callable": True, "objects": True},
                {"name": "late", "ready": False},
            ]
        },
    ).functions
    assert functions["checksums"].problem is not None
    assert functions["checksums"].problem.reason == "ExceededQuota"
    assert [functions[name].callable for name in ("checksums", "echo", "late")] == [False, True, False]
    assert [functions[name].objects for name in ("checksums", "echo", "late")] == [False, True, False]
    assert functions["echo"].problem is None
    assert functions["late"].problem is not None


def test_tags_come_from_the_status() -> None:
    """A revision is called by itself only under a tag that the controller has seen at Knative."""
    reported = [{"name": "hello", "ready": True, "callable": True, "tags": ["canary"]}]
    address = tenant("a", status={"functions": reported}).functions["hello"]
    tagged = address.tagged("canary")
    assert tagged is not None
    assert tagged.host == f"canary-{address.host}"
    assert address.tagged("other") is None


def test_limits_of_the_record_are_the_tenants() -> None:
    limits = tenant("a", limits={"concurrentCalls": 3}).limits
    assert limits is not None
    assert limits.concurrent_calls == 3


def test_type_of_condition_that_is_newer_than_this_gateway_locks_nobody_out() -> None:
    newer = {"conditions": [{"type": "Moonphase", "status": "True", "reason": "Full"}]}
    assert tenant("a", status=newer).suspended is None
