"""Given objects → wanted actions."""

import copy
from typing import Any

import pytest

from policies.labels import OWN_FUNCTION
from policies.metadata import tenant_labels
from policies.model import Manifest
from policies.tenant import TenantObjects, tenant_manifests
from tenancy.controller.ownership import foreign_fields
from tenancy.controller.plan import Applied, Apply, Delete, Plan, RemoveFields, Reroute, digest_of, plan_removal
from tenancy.controller.plan import plan_tenant as plan_objects
from tenancy.controller.snapshot import Snapshot
from tenancy.kubernetes.client import Kind, Ref, ref_of
from tests.unit.tenancy.objects import NAME, PLATFORM, SPEC, foreign, live_of

Wanted = tuple[Manifest, ...]


@pytest.fixture
def wanted() -> Wanted:
    """What the builders want for a tenant."""
    return tenant_manifests(SPEC, PLATFORM)


def seen(*live: Manifest, **more: Any) -> Snapshot:
    """A cluster with these objects."""
    namespace = next((each for each in live if each["kind"] == "Namespace"), None)
    objects = {ref_of(each): each for each in live if each["kind"] != "Namespace"}
    return Snapshot(namespace, objects, **more)


def all_live(wanted: Wanted) -> list[Manifest]:
    return [live_of(manifest) for manifest in wanted]


def plan_tenant(name: str, wanted: Wanted, snapshot: Snapshot, memory: dict[Ref, Applied]) -> Plan:
    return plan_objects(name, TenantObjects(wanted), snapshot, memory)


def remembered(wanted: Wanted) -> dict[Ref, Applied]:
    lives = map(live_of, wanted)
    return {
        ref_of(live): Applied(live["metadata"]["uid"], "1", digest_of(manifest))
        for live, manifest in zip(lives, wanted, strict=True)
    }


def policy(wanted: Wanted) -> Manifest:
    return next(each for each in wanted if each["metadata"]["name"] == "osfaas-deny-all")


def test_nothing_is_planned_without_the_namespace_manifest(wanted: Wanted) -> None:
    """A builder that gives nothing must not look like a tenant that should have nothing."""
    for broken in ((), wanted[1:]):
        with pytest.raises(ValueError, match="namespace"):
            plan_tenant(NAME, broken, seen(*all_live(wanted)), {})


@pytest.mark.parametrize("labelled", [False, True])
def test_foreign_object_in_the_place_of_the_namespace_stops_everything(wanted: Wanted, labelled: bool) -> None:
    """Labels alone do not make it ours."""
    plan = plan_tenant(NAME, wanted, seen(foreign(wanted[0], labelled=labelled)), {})
    assert plan.actions == ()
    assert [refusal.reason for refusal in plan.refusals] == ["NotOwned"]


def test_namespace_of_another_tenant_is_foreign(wanted: Wanted) -> None:
    """Made by us, for somebody else."""
    assert plan_tenant("faas-other", wanted, seen(*all_live(wanted)), {}).refusals[0].reason == "NotOwned"


def test_a_namespace_that_is_being_deleted_is_waited_for(wanted: Wanted) -> None:
    """Nothing can be made in it."""
    going = live_of(wanted[0], deletionTimestamp="2026-11-24T12:00:00Z")
    plan = plan_tenant(NAME, wanted, seen(going), {})
    assert (plan.actions, plan.refusals[0].reason) == ((), "Terminating")


@pytest.mark.parametrize("labelled", [False, True])
def test_foreign_object_in_the_place_of_an_object_is_left_alone(wanted: Wanted, labelled: bool) -> None:
    """The others are made all the same."""
    other = foreign(policy(wanted), labelled=labelled)
    plan = plan_tenant(NAME, wanted, seen(live_of(wanted[0]), other), {})
    assert [refusal.ref for refusal in plan.refusals] == [ref_of(other)]
    assert ref_of(other) not in {action.ref for action in plan.actions}
    assert len(plan.actions) == len(wanted) - 1


@pytest.mark.parametrize("labelled", [False, True])
def test_foreign_object_is_never_removed(wanted: Wanted, labelled: bool) -> None:
    """Neither with our labels nor without."""
    own = copy.deepcopy(policy(wanted))
    own["metadata"]["name"] = "mine"
    plan = plan_tenant(NAME, wanted, seen(*all_live(wanted), foreign(own, labelled=labelled)), {})
    assert not [action for action in plan.actions if isinstance(action, Delete)]


def test_what_we_applied_without_the_labels_is_not_removed(wanted: Wanted) -> None:
    """Taking the label off is how an administrator takes an object away from us."""
    old = live_of(policy(wanted))
    old["metadata"]["name"] = "old"
    old["metadata"]["labels"] = {}
    plan = plan_tenant(NAME, wanted, seen(*all_live(wanted), old), {})
    assert not [action for action in plan.actions if isinstance(action, Delete)]


def test_a_kind_that_the_cluster_does_not_know_is_refused(wanted: Wanted) -> None:
    """The rest is made."""
    knative = Kind("serving.knative.dev/v1", "Service")
    plan = plan_tenant(NAME, wanted, seen(missing_kinds=frozenset({knative})), {})
    assert [refusal.reason for refusal in plan.refusals] == ["CRDNotInstalled"]
    assert len(plan.actions) == len(wanted) - 1


def test_a_new_tenant_is_made_in_order_and_takes_nothing_from_others(wanted: Wanted) -> None:
    """The namespace first, nothing forced."""
    plan = plan_tenant(NAME, wanted, seen(), {})
    assert plan == Plan(tuple(Apply(manifest) for manifest in wanted))


def test_what_kubernetes_puts_into_our_namespace_is_adopted_without_force(wanted: Wanted) -> None:
    """The default service account; one field that somebody else set would be a conflict, not a takeover."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAME}}
    live = live_of(account, manager="kube-controller-manager")
    plan = plan_tenant(NAME, wanted, seen(live_of(wanted[0]), live), {})
    found = next(action for action in plan.actions if action.ref == ref_of(account))
    assert isinstance(found, Apply)
    assert (found.uid, found.force) == (live["metadata"]["uid"], False)


def test_what_is_ours_is_brought_back_by_force_and_by_uid(wanted: Wanted) -> None:
    """After a restart nothing is remembered, so everything is applied once."""
    plan = plan_tenant(NAME, wanted, seen(*all_live(wanted)), {})
    assert plan.actions == tuple(
        Apply(manifest, live_of(manifest)["metadata"]["uid"], force=True) for manifest in wanted
    )


def test_what_has_not_changed_since_we_applied_it_is_not_touched(wanted: Wanted) -> None:
    """The usual round does nothing at all."""
    assert plan_tenant(NAME, wanted, seen(*all_live(wanted)), remembered(wanted)) == Plan()


def test_a_changed_object_and_a_changed_wish_are_applied(wanted: Wanted) -> None:
    """By the version of the one and the content of the other."""
    lives = all_live(wanted)
    lives[-1]["metadata"]["resourceVersion"] = "2"
    plan = plan_tenant(NAME, wanted, seen(*lives), remembered(wanted))
    assert [action.ref for action in plan.actions] == [ref_of(wanted[-1])]
    other = copy.deepcopy(wanted)
    quota = next(each for each in other if each["kind"] == "ResourceQuota")
    quota["spec"]["hard"]["pods"] = "1"
    plan = plan_tenant(NAME, other, seen(*all_live(wanted)), remembered(wanted))
    assert [action.ref for action in plan.actions] == [ref_of(quota)]


def test_what_is_ours_and_superseded_goes_away(wanted: Wanted) -> None:
    """A function that is no longer enabled; exactly the object that was seen."""
    lives = all_live(wanted)
    plan = plan_tenant(NAME, wanted[:-1], seen(*lives), remembered(wanted))
    assert plan.actions == (Delete(ref_of(lives[-1]), lives[-1]["metadata"]["uid"]),)


def test_a_superseded_object_that_is_going_is_not_deleted_twice(wanted: Wanted) -> None:
    """Its deletion takes a while."""
    lives = all_live(wanted)
    lives[-1]["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert plan_tenant(NAME, wanted[:-1], seen(*lives), remembered(wanted)) == Plan()


def test_rules_that_somebody_added_are_taken_out(wanted: Wanted) -> None:
    """Server-side apply would leave them: they are nobody's of ours."""
    live = live_of(policy(wanted))
    live["spec"]["egress"] = [{}]
    live["metadata"]["resourceVersion"] = "2"
    live["metadata"]["managedFields"].append(
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:egress": {}}}}
    )
    lives = [live if each["metadata"]["name"] == "osfaas-deny-all" else each for each in all_live(wanted)]
    plan = plan_tenant(NAME, wanted, seen(*lives), remembered(wanted))
    ref = ref_of(live)
    assert plan.actions == (
        RemoveFields(ref, "2", ("/spec/egress",)),
        Apply(policy(wanted), live["metadata"]["uid"], force=True),
    )


def test_a_status_is_no_intruder() -> None:
    """Quotas are counted by another controller, and a field that has both owners is ours too."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": NAME},
        "spec": {"hard": {"pods": "1"}},
    }
    live = live_of(quota)
    live["spec"]["hard"]["a/b~c"] = "9"
    live["metadata"]["managedFields"] += [
        {
            "manager": "kcm",
            "operation": "Update",
            "subresource": "status",
            "fieldsV1": {"f:status": {"f:used": {}}, "f:spec": {"f:x": {}}},
        },
        {
            "manager": "edit",
            "operation": "Update",
            "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": {"f:hard": {"f:pods": {}, "f:a/b~c": {}}}},
        },
    ]
    assert foreign_fields(live, quota) == ("/spec/hard/a~1b~0c",)


def test_elements_of_lists_are_taken_out_from_behind() -> None:
    """Removing one moves those after it; what is wanted as well stays, and so does what is gone already."""
    wanted = {"kind": "LimitRange", "metadata": {}, "list": [{"name": "ours"}], "set": ["x"]}
    fields = {
        "f:list": {f'k:{{"name":"{name}"}}': {} for name in ("a", "b", "ours", "gone")},
        "f:set": {'v:"x"': {}, 'v:"y"': {}},
    }
    entry = {"manager": "edit", "operation": "Update", "fieldsV1": fields}
    live = {
        "kind": "LimitRange",
        "metadata": {"managedFields": [entry]},
        "list": [{"name": "ours"}, {"name": "a"}, {"name": "b"}],
        "set": ["y", "x"],
    }
    assert foreign_fields(live, wanted) == ("/set/0", "/list/2", "/list/1")


def test_what_is_wanted_with_another_value_is_brought_back_without_a_gap() -> None:
    """Taken out first, a policy would open for a moment."""
    wanted = {"kind": "NetworkPolicy", "metadata": {}, "spec": {"policyTypes": ["Ingress", "Egress"]}}
    fields = {"f:spec": {"f:policyTypes": {}, "f:egress": {}}}
    entry = {"manager": "edit", "operation": "Update", "fieldsV1": fields}
    live = {
        "kind": "NetworkPolicy",
        "metadata": {"managedFields": [entry]},
        "spec": {"policyTypes": ["Ingress"], "egress": [{}]},
    }
    assert foreign_fields(live, wanted) == ("/spec/egress",)


def test_removal_deletes_exactly_the_namespace_that_is_ours(wanted: Wanted) -> None:
    """Not a foreign one, not one that is going, and nothing when it is gone."""
    ref = ref_of(wanted[0])
    assert plan_removal(NAME, ref, None) == Plan()
    assert plan_removal(NAME, ref, foreign(wanted[0], labelled=True)).actions == ()
    assert plan_removal(NAME, ref, live_of(wanted[0], deletionTimestamp="x")).actions == ()
    live = live_of(wanted[0])
    assert plan_removal(NAME, ref, live) == Plan((Delete(ref, live["metadata"]["uid"]),))


def knative_service(traffic: list[dict[str, Any]], **metadata: Any) -> Manifest:
    labels = {**tenant_labels(SPEC), OWN_FUNCTION: "hello"}
    manifest: Manifest = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": SPEC.namespace, "labels": labels},
        "spec": {"template": {}, "traffic": traffic},
    }
    return live_of(manifest, **metadata)


def test_a_kept_service_gets_the_wanted_shares_and_keeps_the_rest(wanted: Wanted) -> None:
    shares = [{"percent": 100, "latestRevision": False, "revisionName": "hello-1"}]
    objects = TenantObjects(wanted, kept=frozenset({"hello"}), traffic={"hello": shares})

    def actions(service: Manifest) -> tuple[Any, ...]:
        return plan_objects(NAME, objects, seen(*all_live(wanted), service), remembered(wanted)).actions

    live = knative_service([{"percent": 100, "latestRevision": True}])
    assert actions(live) == (Reroute(ref_of(live), "uid-Service-hello", tuple(shares)),)
    # Knative leaves what has its default out, and adds nothing that counts.
    assert actions(knative_service([{"percent": 100, "revisionName": "hello-1"}])) == ()
    # Not ours, or going.
    assert actions(foreign(live, labelled=True)) == ()
    assert actions(knative_service([], deletionTimestamp="2026-11-24T12:00:00Z")) == ()
    # There is none yet.
    assert plan_objects(NAME, objects, seen(*all_live(wanted)), remembered(wanted)).actions == ()
