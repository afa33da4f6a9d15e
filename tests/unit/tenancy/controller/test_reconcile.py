"""One round over a tenant, on a cluster in memory: what is done whatever else is wrong, and when the next is due."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from policies.access import CONTROLLER_ROLE
from policies.model import IsolationLevel, Limits, Manifest, Platform, TenantSpec
from policies.own_function import OwnFunction
from tenancy.controller.limit_states import LimitStates
from tenancy.controller.metrics import ControllerMetrics
from tenancy.controller.reconcile import Reconciler, _settled, removal_is_due
from tenancy.controller.report import ReconcileResult
from tenancy.kubernetes.client import Kind, Listing, Ref, ref_of
from tenancy.kubernetes.kinds import DEPLOYMENT, FUNCTIONS, KNATIVE_SERVICE, NAMESPACE, POD
from tenancy.model.errors import ForbiddenError, KindMissingError
from tenancy.model.function import FunctionRecord, function_manifest_of
from tenancy.model.record import (
    FunctionStatus,
    ObservedOffboarding,
    Offboarding,
    ProjectFacts,
    ProjectState,
    TenantRecord,
    TenantStatus,
    manifest_of,
)
from tenancy.repository import ref_of_tenant
from tests.unit.tenancy.objects import NAME, PLATFORM, SPEC, foreign, live_of

POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
QUOTA = Kind("v1", "ResourceQuota")
BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


class Cluster:
    """An API server in memory; pods are seen by whoever the binding allows it, if `strict`."""

    def __init__(self, record: TenantRecord, *, strict: bool = False) -> None:
        self.objects: dict[Ref, Manifest] = {}
        self.strict = strict
        self.deleted: list[tuple[str, int | None]] = []
        self.put(manifest_of(record))

    def put(self, manifest: Manifest) -> None:
        generation = {"generation": 1} if manifest["kind"] == "Tenant" else {}
        self.objects[ref_of(manifest)] = live_of(manifest, **generation)

    def write(self, record: TenantRecord) -> None:
        status = self.objects[ref_of_tenant(NAME)].get("status", {})
        self.put(manifest_of(record))
        self.objects[ref_of_tenant(NAME)]["status"] = status

    def get(self, ref: Ref) -> Manifest | None:
        return self.objects.get(ref)

    def list(self, kind: Kind, *, namespace: str = "", labels: str = "") -> Listing:
        if self.strict and kind in {POD, DEPLOYMENT} and Ref(BINDING, namespace, CONTROLLER_ROLE) not in self.objects:
            raise ForbiddenError("403")
        key = labels.partition("=")[0]
        found = [each for ref, each in self.objects.items() if (ref.kind, ref.namespace) == (kind, namespace)]
        return Listing(tuple(each for each in found if not key or key in each["metadata"].get("labels", {})), "1")

    def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        self.put(manifest)
        return self.objects[ref_of(manifest)]

    def delete(self, ref: Ref, *, uid: str, grace_seconds: int | None = None) -> None:
        self.deleted.append((ref.name, grace_seconds))
        self.objects.pop(ref, None)

    def merge(self, ref: Ref, patch: Mapping[str, Any], *, subresource: str = "") -> Manifest:
        status = {**self.objects[ref].get("status", {}), **patch["status"]}
        self.objects[ref]["status"] = {key: value for key, value in status.items() if value is not None}
        return self.objects[ref]

    def create(self, manifest: Manifest) -> Manifest:
        return manifest

    def condition(self, type_: str) -> tuple[str, str]:
        conditions = self.objects[ref_of_tenant(NAME)]["status"]["conditions"]
        found = next(each for each in conditions if each["type"] == type_)
        return found["status"], found["reason"]

    def names(self, kind: Kind) -> set[str]:
        return {ref.name for ref in self.objects if ref.kind == kind}


class States:
    """What Keystone says of every project."""

    def __init__(self, state: ProjectState = ProjectState.ENABLED) -> None:
        self.state = state

    def of(self, project_id: str) -> ProjectFacts | None:
        return ProjectFacts(self.state, "atlas", self.domain_of(project_id))

    def domain_of(self, project_id: str) -> str:
        return "physics"


def reconciler(cluster: Cluster, platform: Platform = PLATFORM, states: States | None = None) -> Reconciler:
    states = states or States()
    everything: Any = (cluster, platform, states, LimitStates(None, states), ControllerMetrics())  # type: ignore[arg-type]
    return Reconciler(*everything, lambda: True, lambda name: None, clock=lambda: NOON)


def pod(name: str, **spec: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAME}, "spec": spec}


TOO_SMALL = replace(SPEC, limits=Limits(memory_mib=128))
IMPOSSIBLE = {
    "limits": TOO_SMALL,
    "catalogue": replace(SPEC, functions=("checksums", "gone")),
    "level": replace(SPEC, isolation=IsolationLevel.L4),
}


@pytest.mark.parametrize("spec", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_tenant_whose_functions_cannot_be_built_is_closed_and_limited_all_the_same(spec: TenantSpec) -> None:
    """And the condition says what to change."""
    cluster = Cluster(TenantRecord(spec))
    reconciler(cluster).reconcile(NAME)
    assert {"osfaas-deny-all", "osfaas-out"} <= cluster.names(POLICY)
    assert cluster.names(QUOTA) == {"osfaas"}
    assert cluster.condition("Ready") == ("False", "InvalidSpec")
    assert cluster.condition("Policies") == ("True", "Applied")
    cluster.objects.pop(Ref(POLICY, NAME, "osfaas-deny-all"))
    reconciler(cluster).reconcile(NAME)
    assert "osfaas-deny-all" in cluster.names(POLICY)


@pytest.mark.parametrize("spec", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_it_is_suspended_like_any_other(spec: TenantSpec) -> None:
    """No function, no call, no way out, no pod."""
    cluster = Cluster(TenantRecord(SPEC))
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == {"checksums"}
    cluster.put(pod("own"))
    cluster.write(TenantRecord(replace(spec, suspended="unpaid")))
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == set()
    assert cluster.names(POLICY) == {"osfaas-deny-all"}
    assert cluster.objects[Ref(QUOTA, NAME, "osfaas")]["spec"]["hard"]["pods"] == "0"
    assert ("own", 30) in cluster.deleted
    assert cluster.condition("Ready") == ("False", "Suspended")


@pytest.mark.parametrize("spec", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_function_that_cannot_be_built_any_more_is_not_removed(spec: TenantSpec) -> None:
    """An upgrade of the platform that raised its memory must not take it from tenants with less."""
    cluster = Cluster(TenantRecord(SPEC))
    reconciler(cluster).reconcile(NAME)
    cluster.write(TenantRecord(spec))
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == {"checksums"}


def test_a_project_that_is_deleted_in_keystone_is_stopped() -> None:
    """The gateway refuses its calls, so nothing of it may run either; what it has is kept."""
    cluster = Cluster(TenantRecord(SPEC))
    reconciler(cluster).reconcile(NAME)
    cluster.put(pod("own"))
    reconciler(cluster, states=States(ProjectState.DELETED)).reconcile(NAME)
    assert cluster.names(POLICY) == {"osfaas-deny-all"}
    assert cluster.names(KNATIVE_SERVICE) == set()
    assert cluster.names(POD) == set()
    assert cluster.names(NAMESPACE) == {NAME}


def test_pods_of_a_tenant_that_runs_are_not_touched() -> None:
    """Whatever they are."""
    cluster = Cluster(TenantRecord(SPEC))
    cluster.put(pod("own"))
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(POD) == {"own"}
    assert cluster.deleted == []


def test_a_pod_that_gives_itself_an_hour_to_end_gets_half_a_minute() -> None:
    """Also one that is being deleted already; one that ends in time, or has ended, is left alone."""
    cluster = Cluster(TenantRecord(replace(SPEC, suspended="unpaid")))
    reconciler(cluster).reconcile(NAME)
    going = {"deletionTimestamp": "2026-11-24T12:00:00Z"}
    for name, seconds in (("slow", 3600), ("quick", 30)):
        cluster.put(pod(name))
        cluster.objects[Ref(POD, NAME, name)]["metadata"] |= {**going, "deletionGracePeriodSeconds": seconds}
    cluster.put({**pod("ended"), "status": {"phase": "Succeeded"}})
    cluster.deleted.clear()
    reconciler(cluster).reconcile(NAME)
    assert cluster.deleted == [("slow", 30)]


def test_before_its_binding_is_there_a_tenant_is_built_and_its_pods_are_looked_at_next_time() -> None:
    """The right to see pods is an object of the tenant's own."""
    cluster = Cluster(TenantRecord(SPEC), strict=True)
    assert reconciler(cluster).reconcile(NAME) == 4.0
    assert cluster.condition("Pods") == ("Unknown", "NotListed")
    reconciler(cluster).reconcile(NAME)
    assert cluster.condition("Pods") == ("True", "AtLevel")


def test_a_pod_below_the_level_is_told() -> None:
    """It was made when the level was lower, or under another platform."""
    cluster = Cluster(TenantRecord(SPEC))
    cluster.put(pod("new", hostUsers=False))
    reconciler(cluster).reconcile(NAME)
    assert cluster.condition("Pods") == ("True", "AtLevel")
    cluster.put(pod("old"))
    reconciler(cluster).reconcile(NAME)
    assert cluster.condition("Pods") == ("False", "BelowLevel")


RUNNING = FunctionStatus("checksums", ready=True)
OWN = FunctionStatus("own", ready=False, callable=False, reason="ImagePullBackOff", message="x")
RECORD = TenantRecord(SPEC)


def round_of(functions: tuple[FunctionStatus, ...], spec: TenantSpec = SPEC, **more: Any) -> ReconcileResult:
    return ReconcileResult(
        TenantRecord(spec), spec, ProjectFacts(ProjectState.ENABLED, "atlas"), functions=functions, **more
    )


def deployment(wanted: int, ready: int) -> Manifest:
    return {"spec": {"replicas": wanted}, "status": {"readyReplicas": ready} if ready else {}}


@pytest.mark.parametrize(
    ("functions", "deployments", "settled"),
    [
        ((), (), False),
        ((replace(RUNNING, ready=False),), (), False),
        ((replace(RUNNING, reason="ExceededQuota"),), (), False),
        ((RUNNING, OWN), (), False),
        ((RUNNING,), (deployment(1, 0),), False),
        ((RUNNING,), (deployment(0, 0), deployment(2, 2)), True),
        ((RUNNING,), (), True),
    ],
)
def test_a_pod_that_waits_is_looked_at_again(
    functions: tuple[FunctionStatus, ...], deployments: Sequence[Manifest], settled: bool
) -> None:
    """Also one of the tenant's own; asleep is settled."""
    assert _settled(round_of(functions), deployments) is settled


def test_a_suspended_tenant_waits_for_nothing_but_its_pods() -> None:
    """Deployments of its own go on wanting pods, and get none."""
    suspended = replace(SPEC, suspended="unpaid")
    assert _settled(round_of((), suspended), (deployment(1, 0),))
    assert not _settled(round_of((), suspended, pods=(pod("a"),)), ())


def test_a_function_that_cannot_be_built_is_not_waited_for() -> None:
    """Only a change of the record or of the platform file helps."""
    assert _settled(round_of((), problems=("no such function",)), ())


@pytest.mark.parametrize(
    ("confirmed", "seconds_after_grace", "pods", "due"),
    [
        (False, 1000, False, False),
        (True, -1, False, False),
        (True, 1, True, False),
        (True, 1, False, True),
        (True, 61, True, True),
    ],
)
def test_a_namespace_goes_after_both_steps_the_grace_period_and_its_pods(
    confirmed: bool, seconds_after_grace: int, pods: bool, due: bool
) -> None:
    """Pods are waited for, but one that hangs does not keep the namespace for ever."""
    now = NOON + dt.timedelta(seconds=3600 + seconds_after_grace)
    assert removal_is_due(offboarded(confirmed=confirmed), now, lambda: pods) is due


def offboarded(
    *, confirmed: bool = True, requested_at: dt.datetime = NOON, observed_at: dt.datetime | None = NOON
) -> TenantRecord:
    seen = ObservedOffboarding(requested_at, observed_at) if observed_at else None
    offboarding = Offboarding(requested_at, grace_seconds=3600, confirmed=confirmed)
    return TenantRecord(SPEC, TenantStatus(offboarding=seen), offboarding)


def test_a_tenant_that_is_not_offboarded_is_never_removed() -> None:
    """However long nobody asks."""
    assert not removal_is_due(RECORD, NOON, lambda: False)


def test_a_request_of_long_ago_counts_from_when_the_controller_saw_it() -> None:
    """Whoever writes the record chooses its time, and would have every namespace deleted at once."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    record = offboarded(requested_at=epoch)
    assert not removal_is_due(record, NOON + dt.timedelta(seconds=3599), lambda: False)
    assert removal_is_due(record, NOON + dt.timedelta(seconds=3601), lambda: False)
    assert not removal_is_due(offboarded(requested_at=epoch, observed_at=None), NOON, lambda: False)


def test_a_request_that_was_taken_back_and_made_anew_is_seen_anew() -> None:
    """What was seen of another request says nothing of this one."""
    record = replace(offboarded(), offboarding=Offboarding(NOON - dt.timedelta(hours=9), 3600, confirmed=True))
    assert not removal_is_due(record, NOON + dt.timedelta(hours=9), lambda: False)


def test_the_controller_writes_when_it_saw_the_request_and_removes_nothing_in_that_round() -> None:
    """A record that is confirmed before it was ever seen has its whole grace period before it."""
    cluster = Cluster(RECORD)
    reconciler(cluster).reconcile(NAME)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    cluster.write(replace(RECORD, offboarding=Offboarding(epoch, grace_seconds=0, confirmed=True)))
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(NAMESPACE) == {NAME}
    seen = cluster.objects[ref_of_tenant(NAME)]["status"]["offboarding"]
    assert seen == {"requestedAt": "1970-01-01T00:00:00Z", "observedAt": "2026-11-24T12:00:00Z"}
    reconciler(cluster).reconcile(NAME)
    assert cluster.names(NAMESPACE) == set()
    cluster = Cluster(RECORD)
    reconciler(cluster).reconcile(NAME)
    cluster.write(replace(RECORD, offboarding=Offboarding(epoch, grace_seconds=0)))
    reconciler(cluster).reconcile(NAME)
    cluster.write(RECORD)
    reconciler(cluster).reconcile(NAME)
    assert "offboarding" not in cluster.objects[ref_of_tenant(NAME)]["status"]


HELLO = OwnFunction(name="hello", image="registry.example.org/atlas/hello@sha256:" + "0a" * 32)
OWN = replace(PLATFORM, own_function_images=("registry.example.org",))


def write_function(cluster: Cluster, function: OwnFunction) -> Ref:
    manifest = function_manifest_of(FunctionRecord(SPEC.namespace, function))
    cluster.put(manifest)
    return ref_of(manifest)


def ready_of(cluster: Cluster, ref: Ref) -> tuple[str, str]:
    conditions = cluster.objects[ref]["status"]["conditions"]
    found = next(each for each in conditions if each["type"] == "Ready")
    return found["status"], found["reason"]


def test_a_function_object_becomes_a_knative_service_and_goes_with_it() -> None:
    cluster = Cluster(TenantRecord(SPEC))
    ref = write_function(cluster, HELLO)
    reconciles = reconciler(cluster, OWN)
    assert reconciles.reconcile(NAME) is not None
    assert cluster.names(KNATIVE_SERVICE) == {"checksums", "hello"}
    assert ready_of(cluster, ref) == ("Unknown", "Deploying")
    cluster.objects.pop(ref)
    reconciles.reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == {"checksums"}


def test_a_function_that_is_not_allowed_any_more_stays_and_says_so() -> None:
    """An operator who takes a registry from his list stops new revisions, and no service that depends on one."""
    cluster = Cluster(TenantRecord(SPEC))
    ref = write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    reconciler(cluster).reconcile(NAME)
    assert "hello" in cluster.names(KNATIVE_SERVICE)
    assert ready_of(cluster, ref) == ("False", "ImageNotAllowed")


def test_a_refused_function_costs_no_further_reconciles() -> None:
    """Nothing changes by waiting; its writer is announced by the watch."""
    cluster = Cluster(TenantRecord(replace(SPEC, functions=())))
    write_function(cluster, HELLO)
    reconciles = reconciler(cluster)
    reconciles.reconcile(NAME)
    assert reconciles.reconcile(NAME) is None
    accepted = Cluster(TenantRecord(replace(SPEC, functions=())))
    write_function(accepted, HELLO)
    reconciles = reconciler(accepted, OWN)
    reconciles.reconcile(NAME)
    assert reconciles.reconcile(NAME) is not None


def test_a_level_below_l3_ends_code_of_ones_own() -> None:
    cluster = Cluster(TenantRecord(SPEC))
    ref = write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    cluster.write(TenantRecord(replace(SPEC, isolation=IsolationLevel.L2)))
    reconciler(cluster, OWN).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == {"checksums"}
    assert ready_of(cluster, ref) == ("False", "IsolationTooLow")


def test_a_suspended_tenants_functions_stop_and_come_back_from_their_records() -> None:
    cluster = Cluster(TenantRecord(SPEC))
    ref = write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    cluster.write(TenantRecord(replace(SPEC, suspended="unpaid")))
    reconciler(cluster, OWN).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == set()
    assert ready_of(cluster, ref) == ("False", "Suspended")
    cluster.write(TenantRecord(SPEC))
    reconciler(cluster, OWN).reconcile(NAME)
    assert "hello" in cluster.names(KNATIVE_SERVICE)


def test_a_malformed_function_object_stops_neither_its_service_nor_the_others() -> None:
    cluster = Cluster(TenantRecord(SPEC))
    ref = write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    cluster.objects[ref]["spec"]["cpuMillis"] = 0
    write_function(cluster, replace(HELLO, name="other"))
    reconciler(cluster, OWN).reconcile(NAME)
    assert cluster.names(KNATIVE_SERVICE) == {"checksums", "hello", "other"}


def test_without_the_definition_of_function_nothing_of_theirs_is_removed() -> None:
    """Nothing is removed because something is missing."""

    class Older(Cluster):
        def list(self, kind: Kind, *, namespace: str = "", labels: str = "") -> Listing:
            if kind == FUNCTIONS and self.older:
                raise KindMissingError("not served")
            return super().list(kind, namespace=namespace, labels=labels)

        older = False

    cluster = Older(TenantRecord(SPEC))
    write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    cluster.older = True
    reconciler(cluster, OWN).reconcile(NAME)
    assert "hello" in cluster.names(KNATIVE_SERVICE)


def test_a_knative_service_of_the_tenants_own_is_not_taken_over() -> None:
    cluster = Cluster(TenantRecord(SPEC))
    reconciler(cluster, OWN).reconcile(NAME)
    theirs: Manifest = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": NAME},
        "spec": {},
    }
    cluster.objects[ref_of(theirs)] = foreign(theirs)
    ref = write_function(cluster, HELLO)
    reconciler(cluster, OWN).reconcile(NAME)
    assert cluster.objects[ref_of(theirs)]["spec"] == {}
    assert ready_of(cluster, ref) == ("False", "NotOwned")
