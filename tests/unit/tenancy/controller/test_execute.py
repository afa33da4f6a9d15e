"""Doing a plan, when the API server does not do everything."""

import copy
from typing import Any

import pytest

from policies.model import Manifest
from policies.tenant import TenantObjects, tenant_manifests
from tenancy.controller.execute import ApplyResult, NoLongerLeadingError, execute
from tenancy.controller.plan import Applied, Plan, Reroute, plan_tenant
from tenancy.controller.snapshot import Snapshot
from tenancy.kubernetes.client import Ref, ref_of
from tenancy.model.errors import ClusterError, ConflictError, UnavailableError
from tests.unit.tenancy.objects import NAME, PLATFORM, SPEC, live_of

WANTED = tenant_manifests(SPEC, PLATFORM)


class Server:
    """Applies, and refuses what a test tells it to."""

    def __init__(self, **refused: Exception) -> None:
        self.refused = refused
        self.asked: list[tuple[str, str, Any]] = []

    def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        self._ask("apply", manifest["metadata"]["name"], (manifest["metadata"].get("uid", ""), force))
        return live_of(manifest, resourceVersion="7")

    def delete(self, ref: Ref, *, uid: str, grace_seconds: int | None = None) -> None:
        self._ask("delete", ref.name, uid)

    def patch(self, ref: Ref, operations: list[dict[str, Any]]) -> Manifest:
        self._ask("patch", ref.name, operations)
        return live_of(next(each for each in WANTED if ref_of(each) == ref), resourceVersion="6")

    def _ask(self, verb: str, name: str, what: Any) -> None:
        self.asked.append((verb, name, what))
        if name in self.refused:
            raise self.refused[name]


def run(server: Server, snapshot: Snapshot, remembered: dict[Ref, Applied] | None = None, **more: Any) -> ApplyResult:
    memory = {} if remembered is None else remembered
    plan = more.get("plan") or plan_tenant(NAME, TenantObjects(WANTED), snapshot, memory)
    return execute(server, plan, snapshot, memory, more.get("may_write", lambda: True))  # type: ignore[arg-type]


def everything() -> Snapshot:
    lives = [live_of(manifest) for manifest in WANTED]
    return Snapshot(lives[0], {ref_of(live): live for live in lives[1:]})


def test_one_who_leads_no_more_writes_nothing_more() -> None:
    """Asked before each single write."""
    server, answers = Server(), iter([True, True, False])
    with pytest.raises(NoLongerLeadingError):
        run(server, Snapshot(None), may_write=lambda: next(answers))
    assert len(server.asked) == 2


def test_a_server_that_does_not_answer_ends_the_round() -> None:
    """And nothing is remembered of what was not done."""
    remembered: dict[Ref, Applied] = {}
    with pytest.raises(UnavailableError):
        run(Server(**{WANTED[1]["metadata"]["name"]: UnavailableError("away")}), Snapshot(None), remembered)
    assert list(remembered) == [ref_of(WANTED[0])]


def test_without_the_namespace_nothing_else_is_tried() -> None:
    """It would only make more refusals."""
    server = Server(**{NAME: ClusterError("403 forbidden")})
    done = run(server, Snapshot(None))
    assert len(server.asked) == 1
    assert [(failure.ref.name, failure.reason) for failure in done.failures] == [(NAME, "Refused")]


@pytest.mark.parametrize(
    ("error", "snapshot", "reason"),
    [
        (ClusterError("422 no"), Snapshot(None), "Refused"),
        (ConflictError("409 conflict with kubectl"), Snapshot(None), "NotOwned"),
        (ConflictError("409 uid"), everything(), "Changed"),
    ],
)
def test_one_refusal_does_not_keep_the_others_from_being_done(
    error: Exception, snapshot: Snapshot, reason: str
) -> None:
    """It is reported in the server's words."""
    server = Server(**{"osfaas-out": error})
    done = run(server, snapshot)
    assert [(failure.ref.name, failure.reason) for failure in done.failures] == [("osfaas-out", reason)]
    assert str(error) in done.failures[0].message
    assert len(server.asked) == len(WANTED)


def test_what_was_made_is_told_from_what_was_repaired_and_what_was_as_it_should_be() -> None:
    """Events and metrics speak of changes only."""
    assert len(run(Server(), Snapshot(None)).created) == len(WANTED)
    assert run(Server(), everything()) == ApplyResult()
    changed = copy.deepcopy(everything())
    quota = next(ref for ref in changed.objects if ref.kind.kind == "ResourceQuota")
    changed.objects[quota]["spec"]["hard"]["pods"] = "99"
    assert run(Server(), changed).corrected == (quota,)


def test_an_object_of_ours_is_written_by_its_uid_and_a_new_one_without_force() -> None:
    """One that replaced it may be somebody else's."""
    server = Server()
    run(server, everything())
    assert {(uid != "", force) for _, _, (uid, force) in server.asked} == {(True, True)}
    server = Server()
    run(server, Snapshot(None))
    assert {what for _, _, what in server.asked} == {("", False)}


def test_what_was_applied_is_remembered_so_that_the_next_round_does_nothing() -> None:
    """By the version that the server gave."""
    remembered: dict[Ref, Applied] = {}
    run(Server(), Snapshot(None), remembered)
    lives = [live_of(manifest, resourceVersion="7") for manifest in WANTED]
    snapshot = Snapshot(lives[0], {ref_of(live): live for live in lives[1:]})
    assert plan_tenant(NAME, TenantObjects(WANTED), snapshot, remembered) == Plan()


def test_foreign_field_is_taken_out_only_of_the_version_that_was_seen() -> None:
    """The first operation is the test."""
    snapshot = everything()
    ref = next(ref for ref in snapshot.objects if ref.name == "osfaas-deny-all")
    live = snapshot.objects[ref]
    live["spec"]["egress"] = [{}]
    live["metadata"]["managedFields"].append(
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:egress": {}}}}
    )
    server = Server()
    assert run(server, snapshot).corrected == (ref,)
    operations = next(what for verb, _, what in server.asked if verb == "patch")
    assert operations == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "remove", "path": "/spec/egress"},
    ]


def test_shares_are_changed_on_the_same_object_only_and_nothing_else_of_it() -> None:
    server, ref = Server(), ref_of(WANTED[-1])
    share = {"percent": 100, "revisionName": "hello-1"}
    run(server, everything(), plan=Plan((Reroute(ref, "uid-1", (share,)),)))
    same = {"op": "test", "path": "/metadata/uid", "value": "uid-1"}
    assert server.asked == [("patch", ref.name, [same, {"op": "add", "path": "/spec/traffic", "value": [share]}])]
