"""A settled tenant needs no read, and whatever is in doubt is read directly."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from policies.model import Manifest
from policies.unified_limits import UnifiedLimits
from tenancy.controller.limit_states import LimitStates
from tenancy.controller.metrics import ControllerMetrics
from tenancy.controller.reconcile import Reconciler
from tenancy.controller.settled import CONFIRM_SECONDS, TRUST_SECONDS, SettledTenants
from tenancy.controller.stores import ObjectVersions
from tenancy.kubernetes.client import Kind, Listing, Ref
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, NAMESPACE
from tenancy.model.errors import ProjectsError, UnavailableError
from tenancy.model.record import Offboarding, ProjectState, TenantRecord
from tests.unit.tenancy.controller.test_reconcile import NOON, POLICY, Cluster, States, pod
from tests.unit.tenancy.objects import NAME, PLATFORM, SPEC

RECORD = TenantRecord(SPEC)
DENY_ALL = Ref(POLICY, NAME, "osfaas-deny-all")


class CountingCluster(Cluster):
    """Counts reads, and does not answer while it is told so."""

    def __init__(self) -> None:
        super().__init__(RECORD)
        self.reads = 0
        self.failure: Exception | None = None

    def get(self, ref: Ref) -> Manifest | None:
        self._read()
        return super().get(ref)

    def list(self, kind: Kind, *, namespace: str = "", labels: str = "") -> Listing:
        self._read()
        return super().list(kind, namespace=namespace, labels=labels)

    def _read(self) -> None:
        self.reads += 1
        if self.failure:
            raise self.failure


class LimitsInMemory:
    """Keystone's limits, as a test sets them."""

    def __init__(self) -> None:
        self.unified = UnifiedLimits()
        self.failure: Exception | None = None

    def read(self) -> UnifiedLimits:
        if self.failure:
            raise self.failure
        return self.unified


class Running:
    """A reconciler with a clock and stores of the test's own."""

    def __init__(self) -> None:
        self.cluster = CountingCluster()
        self.states = States()
        self.seconds = 0.0
        # What the stores have: it changes only when a test says so.
        self.versions: ObjectVersions | None = ({NAME: "1"},)
        self.keystone = LimitsInMemory()
        self.limits = LimitStates(self.keystone, self.states)  # type: ignore[arg-type]
        everything: Any = (self.cluster, PLATFORM, self.states, self.limits, ControllerMetrics(), lambda: True)
        self._reconciler = Reconciler(
            *everything,
            versions_of=lambda name: self.versions,
            clock=lambda: NOON + dt.timedelta(seconds=self.seconds),
            settled=SettledTenants(clock=lambda: self.seconds),
        )

    def reads_of_reconcile(self, after: float = 0.0) -> int:
        """Number of reads of one reconcile, some seconds from the last one."""
        self.seconds += after
        before = self.cluster.reads
        self._reconciler.reconcile(NAME)
        return self.cluster.reads - before

    def settle(self) -> None:
        """Until the next reconcile makes no read."""
        self.reads_of_reconcile()
        ready = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
        for ref, each in self.cluster.objects.items():
            if ref.kind == KNATIVE_SERVICE:
                each["metadata"]["generation"], each["status"] = 1, ready
        for seconds in (0.0, 0.0, CONFIRM_SECONDS):
            assert self.reads_of_reconcile(seconds)

    def trouble(self) -> tuple[str, str]:
        return self.cluster.condition("Ready")


@pytest.fixture
def running() -> Running:
    made = Running()
    made.settle()
    return made


def test_store_that_is_absent_is_no_answer(running: Running) -> None:
    running.versions = None
    assert running.reads_of_reconcile()
    assert running.reads_of_reconcile(CONFIRM_SECONDS)


def test_absent_store_settles_nothing() -> None:
    """It was absent before the reads, so nothing says what has changed since."""
    running = Running()
    running.versions = None
    running.settle()
    running.versions = ({NAME: "1"},)
    assert running.reads_of_reconcile()


@pytest.mark.parametrize("versions", [({NAME: "2"},), ({},), ({NAME: "1", "more": "1"},)])
def test_any_other_version_is_read_and_repaired(running: Running, versions: ObjectVersions) -> None:
    """Changed, deleted or added."""
    del running.cluster.objects[DENY_ALL]
    assert not running.reads_of_reconcile()
    running.versions = versions
    assert running.reads_of_reconcile()
    assert DENY_ALL in running.cluster.objects


def test_write_of_the_controller_is_read_back_though_the_stores_have_not_seen_it(running: Running) -> None:
    """The versions are those from before the write all the time."""
    running.states.state = ProjectState.DISABLED
    assert running.reads_of_reconcile()
    assert running.trouble() == ("False", "ProjectDisabled")
    running.states.state = ProjectState.ENABLED
    assert running.reads_of_reconcile()
    assert running.cluster.names(KNATIVE_SERVICE) == {"checksums"}
    assert running.reads_of_reconcile(CONFIRM_SECONDS)


def test_correction_of_a_change_that_the_stores_have_not_seen_is_read_back(running: Running) -> None:
    """Nothing that is known from before a write counts after it, though all versions are the same."""
    running.versions = ({NAME: "2"},)
    assert running.reads_of_reconcile()
    del running.cluster.objects[DENY_ALL]
    assert running.reads_of_reconcile(CONFIRM_SECONDS)
    assert DENY_ALL in running.cluster.objects
    assert running.reads_of_reconcile()


def test_change_that_needs_nothing_is_read_twice_as_well(running: Running) -> None:
    """The second reading of other versions does not confirm these."""
    running.versions = ({NAME: "2"},)
    assert [running.reads_of_reconcile(after) > 0 for after in (CONFIRM_SECONDS, 1, CONFIRM_SECONDS, 1)] == [
        True,
        True,
        True,
        False,
    ]


def test_change_during_the_reads_is_read_twice_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions from before the reads count, not those after: some reads may be older than the change."""
    running.versions = ({NAME: "2"},)
    running.reads_of_reconcile()
    read = running.cluster.list

    def change_and_read(kind: Kind, **where: str) -> Listing:
        running.versions = ({NAME: "3"},)
        return read(kind, **where)

    with monkeypatch.context() as changed:
        changed.setattr(running.cluster, "list", change_and_read)
        running.reads_of_reconcile(CONFIRM_SECONDS)
    assert running.reads_of_reconcile(CONFIRM_SECONDS)
    assert running.reads_of_reconcile()


def test_reads_that_failed_settle_nothing(running: Running) -> None:
    """Also if the stores say the same as before them."""
    versions, running.versions = running.versions, None
    running.cluster.failure = UnavailableError("away")
    with pytest.raises(UnavailableError):
        running.reads_of_reconcile()
    running.cluster.failure, running.versions = None, versions
    assert running.reads_of_reconcile()


def test_pod_that_appears_after_the_first_reading_is_found_by_the_second(running: Running) -> None:
    """It was admitted under the rules of before; no watch shows it."""
    running.cluster.write(replace(RECORD, spec=replace(SPEC, suspended="unpaid")))
    running.versions = ({NAME: "2"},)
    running.reads_of_reconcile()
    assert running.reads_of_reconcile()
    running.cluster.put(pod("late"))
    assert running.reads_of_reconcile(CONFIRM_SECONDS)
    assert ("late", 30) in running.cluster.deleted


def test_offboarding_that_runs_is_never_settled(running: Running) -> None:
    """Its time passes without a change of anything."""
    running.cluster.write(replace(RECORD, offboarding=Offboarding(NOON, grace_seconds=1000, confirmed=True)))
    running.versions = ({NAME: "2"},)
    for _ in range(5):
        assert running.reads_of_reconcile(CONFIRM_SECONDS)
    assert NAMESPACE in {ref.kind for ref in running.cluster.objects}
    running.reads_of_reconcile(1000)
    assert NAMESPACE not in {ref.kind for ref in running.cluster.objects}


def test_settled_tenant_is_not_trusted_for_ever(running: Running) -> None:
    """In case a change was never announced."""
    del running.cluster.objects[DENY_ALL]
    assert not running.reads_of_reconcile(TRUST_SECONDS / 2 - 1)
    assert running.reads_of_reconcile(TRUST_SECONDS / 2 + 1)
    assert DENY_ALL in running.cluster.objects


def test_record_that_is_deleted_is_forgotten(running: Running) -> None:
    """One of the same name is read, whatever its version."""
    running.versions = ({},)
    record = running.cluster.objects.pop(next(ref for ref in running.cluster.objects if ref.kind.kind == "Tenant"))
    assert running.reads_of_reconcile() == 1
    running.cluster.put(record)
    running.versions = ({NAME: "1"},)
    assert running.reads_of_reconcile() > 1


def test_settled_tenant_is_not_read(running: Running) -> None:
    """However often it is enqueued."""
    assert [running.reads_of_reconcile(after) for after in (0, 1, 300, 300)] == [0, 0, 0, 0]


def test_quota_follows_keystones_limit_and_goes_back_to_the_records(running: Running) -> None:
    """A settled tenant is read again when Keystone's number changes; Keystone's outage changes nothing."""

    def quota() -> str:
        found = next(each for ref, each in running.cluster.objects.items() if ref.kind.kind == "ResourceQuota")
        return str(found["spec"]["hard"]["requests.cpu"])

    def refresh(unified: UnifiedLimits) -> frozenset[str]:
        running.keystone.unified = unified
        return running.limits.refresh([SPEC.project_id])

    usual = quota()
    limited = UnifiedLimits(
        registered={"function_cpu_millis": 2000}, projects={SPEC.project_id: {"function_cpu_millis": 1500}}
    )
    assert refresh(limited) == {SPEC.project_id}
    running.settle()
    sidecars = SPEC.limits.pods * PLATFORM.queue_proxy_cpu_millis
    assert quota() == f"{1500 + sidecars}m" != usual
    assert refresh(limited) == frozenset()
    assert not running.reads_of_reconcile()
    running.keystone.failure = ProjectsError("away")
    with pytest.raises(ProjectsError):
        running.limits.refresh([SPEC.project_id])
    assert not running.reads_of_reconcile()
    running.keystone.failure = None
    assert refresh(UnifiedLimits()) == {SPEC.project_id}
    assert running.reads_of_reconcile()
    assert quota() == usual


def test_domain_that_is_known_later_is_written(running: Running) -> None:
    """Also of a tenant that was settled before there was the field."""

    def written() -> str:
        record = next(each for ref, each in running.cluster.objects.items() if ref.kind.kind == "Tenant")
        return str(record["status"]["project"]["domainID"])

    assert written() == "physics"
    running.states.domain_of = lambda _project: "chemistry"  # type: ignore[method-assign]
    assert running.reads_of_reconcile()
    assert written() == "chemistry"
    running.settle()
    running.states.of = lambda _project: None  # type: ignore[method-assign]
    assert not running.reads_of_reconcile()
    assert written() == "chemistry"


def test_domain_that_is_known_later_than_the_limits_caps_its_project(running: Running) -> None:
    """After a start, limits may be read before projects."""
    known = running.states.domain_of
    running.keystone.unified = UnifiedLimits(
        registered={"functions": 9}, domains={known(SPEC.project_id): {"functions": 2}}, two_level=True
    )
    running.states.domain_of = lambda _project: ""  # type: ignore[method-assign]
    assert running.limits.refresh([SPEC.project_id]) == {SPEC.project_id}
    assert running.limits.in_force(SPEC).limits.own_functions == 9
    assert running.limits.refresh([SPEC.project_id]) == frozenset()
    running.states.domain_of = known  # type: ignore[method-assign]
    assert running.limits.refresh([SPEC.project_id]) == {SPEC.project_id}
    assert running.limits.in_force(SPEC).limits.own_functions == 2
