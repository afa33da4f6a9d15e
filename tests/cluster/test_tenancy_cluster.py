"""The adapter of the control plane over a real API server: its refusals, and what it promises about objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from policies.labels import FIELD_MANAGER
from policies.model import TenantSpec
from policies.names import ProjectId
from tenancy.controller.ownership import foreign_fields
from tenancy.kubernetes import client as adapter
from tenancy.kubernetes.client import Cluster, Kind, Ref, connect, ref_of
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    KindMissingError,
    NotFoundError,
    UnavailableError,
)
from tenancy.model.record import TenantRecord
from tenancy.repository import KubernetesTenantRepository, ref_of_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from policies.model import Manifest
    from tests.cluster.testbed import Testbed

POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
CONFIG_MAP = Kind("v1", "ConfigMap")


@pytest.fixture(scope="module")
def kubernetes(cluster: Testbed) -> Cluster:
    return connect(cluster.running.layout.host_kubeconfig)


@pytest.fixture(scope="module")
def namespace(cluster: Testbed) -> Iterator[str]:
    with cluster.namespace("control-adapter") as name:
        yield name


def deny_all(namespace: str, name: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **spec},
    }


def test_what_is_not_there_is_none_and_what_cannot_be_is_an_error(kubernetes: Cluster, namespace: str) -> None:
    """An object, a kind, a field that no schema knows."""
    assert kubernetes.get(Ref(POLICY, namespace, "nothing")) is None
    with pytest.raises(KindMissingError, match="the kind Unicorn"):
        kubernetes.list(Kind("example.org/v1", "Unicorn"))
    with pytest.raises(KindMissingError):
        kubernetes.get(Ref(Kind("v1", "Unicorn"), namespace, "a"))
    with pytest.raises(ClusterError, match="unknownField"):
        kubernetes.apply(deny_all(namespace, "a", unknownField=1), force=True)
    with pytest.raises(NotFoundError):
        kubernetes.merge(Ref(POLICY, namespace, "nothing"), {"metadata": {"labels": {"a": "b"}}})


def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Not: nothing is there."""
    file = tmp_path / "kubeconfig"
    file.write_text(
        '{"apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [{"name": "a", "user": {}}],'
        '"contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],'
        '"clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}]}'
    )
    with pytest.raises(UnavailableError):
        connect(file).list(CONFIG_MAP)
    with pytest.raises(UnavailableError):
        connect(file).get(Ref(CONFIG_MAP, "default", "a"))


def test_a_watch_from_too_long_ago_has_to_begin_anew(kubernetes: Cluster) -> None:
    """410 has an error of its own."""
    with pytest.raises(ExpiredError):
        next(kubernetes.watch(CONFIG_MAP, "1"))


def test_a_list_is_whole_though_it_comes_in_pages(
    kubernetes: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its items say what they are."""
    monkeypatch.setattr(adapter, "PAGE", 3)
    for number in range(10):
        kubernetes.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"page-{number}", "namespace": namespace, "labels": {"pages": "yes"}},
            }
        )
    items = kubernetes.list(CONFIG_MAP, namespace=namespace, labels="pages=yes").items
    assert {ref_of(item) for item in items} == {Ref(CONFIG_MAP, namespace, f"page-{number}") for number in range(10)}


def test_a_watch_goes_on_from_a_list(kubernetes: Cluster, namespace: str) -> None:
    """Nothing is lost in between."""
    listing = kubernetes.list(POLICY)
    kubernetes.apply(deny_all(namespace, "watched"), force=False)
    change = next(change for change in kubernetes.watch(POLICY, listing.resource_version) if change.type != "BOOKMARK")
    assert (change.type, ref_of(change.object)) == ("ADDED", Ref(POLICY, namespace, "watched"))


def test_without_force_nothing_is_taken_from_another_manager(kubernetes: Cluster, namespace: str) -> None:
    """Server-side apply's own conflict."""
    kubernetes.apply(deny_all(namespace, "theirs", ingress=[]), force=False, manager="another")
    with pytest.raises(ConflictError, match="another"):
        kubernetes.apply(deny_all(namespace, "theirs", ingress=[{}]), force=False)


def test_an_apply_that_changes_nothing_makes_no_version(kubernetes: Cluster, namespace: str) -> None:
    """So that a round over a tenant that is as it should be wakes nobody."""
    first = kubernetes.apply(deny_all(namespace, "same"), force=False)
    second = kubernetes.apply(deny_all(namespace, "same"), force=True)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_dry_run_stores_nothing(kubernetes: Cluster, namespace: str) -> None:
    """The answer is what would be."""
    made = kubernetes.apply(deny_all(namespace, "imagined"), force=False, dry_run=True)
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert kubernetes.get(ref_of(made)) is None


def test_an_object_that_replaced_the_one_that_was_seen_is_neither_written_nor_deleted(
    kubernetes: Cluster, namespace: str
) -> None:
    """By the uid."""
    seen = kubernetes.apply(deny_all(namespace, "replaced"), force=False)
    ref, uid = ref_of(seen), seen["metadata"]["uid"]
    kubernetes.delete(ref, uid=uid)
    kubernetes.apply(deny_all(namespace, "replaced"), force=False, manager="another")
    with pytest.raises(ConflictError):
        kubernetes.delete(ref, uid=uid)
    manifest = deny_all(namespace, "replaced", ingress=[{}])
    manifest["metadata"]["uid"] = uid
    with pytest.raises(ClusterError, match="field is immutable"):
        kubernetes.apply(manifest, force=True)
    left = kubernetes.get(ref)
    assert left
    assert "ingress" not in left["spec"]


def test_deleting_what_is_gone_is_fine(kubernetes: Cluster, namespace: str) -> None:
    """Somebody else was faster."""
    kubernetes.delete(Ref(POLICY, namespace, "nothing"), uid="00000000-0000-0000-0000-000000000000")


def test_foreign_field_is_found_and_taken_out(cluster: Testbed, kubernetes: Cluster, namespace: str) -> None:
    """In the managed fields that a real API server keeps; a status or a default is not foreign."""
    wanted = deny_all(namespace, "sealed")
    live = kubernetes.apply(wanted, force=False)
    assert foreign_fields(live, wanted) == ()
    words = ("networkpolicy", "sealed", "-n", namespace, "--type=merge", "-p", '{"spec": {"egress": [{}]}}')
    cluster.kubectl("patch", *words)
    live = kubernetes.apply(wanted, force=True)
    # The reason for all this: a forced apply leaves the hole open.
    assert live["spec"]["egress"] == [{}]
    assert foreign_fields(live, wanted) == ("/spec/egress",)
    closed = kubernetes.patch(ref_of(live), [{"op": "remove", "path": "/spec/egress"}])
    assert "egress" not in closed["spec"]
    assert {entry["manager"] for entry in closed["metadata"]["managedFields"]} == {FIELD_MANAGER}


def test_a_patch_of_a_version_that_is_gone_changes_nothing(kubernetes: Cluster, namespace: str) -> None:
    """The test at its beginning fails."""
    live = kubernetes.apply(deny_all(namespace, "tested", ingress=[]), force=False)
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    with pytest.raises(ClusterError):
        kubernetes.patch(ref_of(live), [test, {"op": "remove", "path": "/spec/policyTypes"}])
    assert kubernetes.get(ref_of(live)) == live


def test_a_record_is_written_by_one_at_a_time(kubernetes: Cluster, tenants_known: None) -> None:
    """The second of two who read the same version is told so, and a field that is gone is gone."""
    tenants = KubernetesTenantRepository(kubernetes)
    project = ProjectId("controladapter1")
    first = tenants.create(TenantRecord(TenantSpec(project, suspended="new")))
    try:
        with pytest.raises(ConflictError):
            tenants.create(first)
        resumed = tenants.update(TenantRecord(TenantSpec(project), resource_version=first.resource_version))
        assert resumed.spec.suspended is None
        with pytest.raises(ConflictError):
            tenants.update(first)
        assert tenants.get(project) == resumed
        assert resumed in tenants.list()
    finally:
        found = kubernetes.get(ref_of_tenant(first.name))
        assert found
        kubernetes.delete(Ref(TENANTS, "", first.name), uid=found["metadata"]["uid"])
