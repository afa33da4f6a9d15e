"""An administrator's acts on records, against an API server's rules in memory."""

import datetime as dt
from dataclasses import replace

import pytest

from policies.model import IsolationLevel
from policies.names import ProjectId, namespace_of
from tenancy import use_cases
from tenancy.keystone_projects import Project
from tenancy.model.errors import AdministrationError, ConflictError, NotOnboardedError
from tenancy.model.record import TenantRecord, manifest_of, record_of
from tenancy.use_cases import TenantPatch

P = ProjectId("p1")
PROJECT = Project(P, "atlas", enabled=True)
NOW = dt.datetime(2026, 11, 24, 12, 0, 0, 500, dt.UTC)


class Stored:
    """Records with the API server's optimistic concurrency; they go through their stored form."""

    def __init__(self) -> None:
        self.records: dict[str, TenantRecord] = {}
        self.writes = 0
        self.meddle: list[TenantRecord] = []

    def list(self) -> tuple[TenantRecord, ...]:
        return tuple(self.records.values())

    def get(self, project_id: ProjectId) -> TenantRecord | None:
        return self.records.get(namespace_of(project_id))

    def create(self, record: TenantRecord) -> TenantRecord:
        self._meddle()
        if record.name in self.records:
            raise ConflictError("exists")
        return self._store(record)

    def update(self, record: TenantRecord) -> TenantRecord:
        self._meddle()
        if self.records[record.name].resource_version != record.resource_version:
            raise ConflictError("changed")
        return self._store(record)

    def _meddle(self) -> None:
        if self.meddle:
            self._store(self.meddle.pop())

    def _store(self, record: TenantRecord) -> TenantRecord:
        self.writes += 1
        stored = replace(record_of(manifest_of(record)), resource_version=str(self.writes), generation=self.writes)
        self.records[record.name] = stored
        return stored


@pytest.fixture
def tenants() -> Stored:
    return Stored()


@pytest.fixture
def onboarded(tenants: Stored) -> Stored:
    use_cases.onboard(tenants, PROJECT, TenantPatch())
    return tenants


def test_a_disabled_project_is_not_onboarded(tenants: Stored) -> None:
    """It would be suspended at once."""
    with pytest.raises(AdministrationError, match="enable it there first"):
        use_cases.onboard(tenants, replace(PROJECT, enabled=False), TenantPatch())
    assert tenants.writes == 0


def test_what_is_not_there_is_not_changed(tenants: Stored) -> None:
    """Each act on a project without a record says so."""
    acts = (
        lambda: use_cases.update(tenants, P, TenantPatch()),
        lambda: use_cases.suspend(tenants, P, "why"),
        lambda: use_cases.resume(tenants, P),
        lambda: use_cases.offboard(tenants, P, now=NOW),
        lambda: use_cases.confirm_offboarding(tenants, P, now=NOW),
        lambda: use_cases.cancel_offboarding(tenants, P),
        lambda: use_cases.get_tenant(tenants, P),
    )
    for act in acts:
        with pytest.raises(NotOnboardedError):
            act()


def test_a_suspension_without_a_reason_is_refused(onboarded: Stored) -> None:
    """Callers would get an empty sentence."""
    with pytest.raises(AdministrationError, match="needs a reason"):
        use_cases.suspend(onboarded, P, "  ")


def test_offboarding_is_not_confirmed_before_it_was_asked_for(onboarded: Stored) -> None:
    """Two steps."""
    with pytest.raises(AdministrationError, match="was not requested"):
        use_cases.confirm_offboarding(onboarded, P, now=NOW)


def test_offboarding_is_not_confirmed_before_the_grace_period_is_over(onboarded: Stored) -> None:
    """And asking again does not begin it anew."""
    use_cases.offboard(onboarded, P, now=NOW, grace_seconds=60)
    again = use_cases.offboard(onboarded, P, now=NOW + dt.timedelta(seconds=50), grace_seconds=60)
    assert not again.changed
    with pytest.raises(AdministrationError, match="12:01:00"):
        use_cases.confirm_offboarding(onboarded, P, now=NOW + dt.timedelta(seconds=59))
    outcome = use_cases.confirm_offboarding(onboarded, P, now=NOW + dt.timedelta(seconds=60))
    assert outcome.after.offboarding
    assert outcome.after.offboarding.confirmed


def test_while_it_is_being_offboarded_a_tenant_is_neither_onboarded_nor_resumed(onboarded: Stored) -> None:
    """The sentence names the way back."""
    use_cases.offboard(onboarded, P, now=NOW, grace_seconds=0)
    for act in (lambda: use_cases.onboard(onboarded, PROJECT, TenantPatch()), lambda: use_cases.resume(onboarded, P)):
        with pytest.raises(AdministrationError, match="--cancel"):
            act()
    assert use_cases.cancel_offboarding(onboarded, P).after.offboarding is None


def test_a_confirmed_offboarding_cannot_be_taken_back(onboarded: Stored) -> None:
    """Things may be gone already."""
    use_cases.offboard(onboarded, P, now=NOW, grace_seconds=0)
    use_cases.confirm_offboarding(onboarded, P, now=NOW + dt.timedelta(seconds=1))
    with pytest.raises(AdministrationError, match="confirmed"):
        use_cases.cancel_offboarding(onboarded, P)


def test_onboarding_twice_writes_once(onboarded: Stored) -> None:
    """The second says that nothing changed; another patch changes only the fields it names."""
    assert not use_cases.onboard(onboarded, PROJECT, TenantPatch()).changed
    assert onboarded.writes == 1
    outcome = use_cases.onboard(onboarded, replace(PROJECT, name="renamed"), TenantPatch(limits=(("pods", 3),)))
    assert outcome.changed
    spec = outcome.after.spec
    assert (spec.limits.pods, spec.limits.cpu_millis, spec.display_name) == (3, 4000, "atlas")


def test_a_dry_run_writes_nothing(tenants: Stored) -> None:
    """And tells what it would be."""
    outcome = use_cases.onboard(tenants, PROJECT, TenantPatch(isolation=IsolationLevel.L2), dry_run=True)
    assert (outcome.changed, outcome.after.spec.isolation, tenants.writes) == (True, IsolationLevel.L2, 0)


def test_another_administrators_change_is_not_lost(onboarded: Stored) -> None:
    """It comes between reading and writing; the act is done over it."""
    found = onboarded.records[namespace_of(P)]
    onboarded.meddle = [replace(found, spec=replace(found.spec, display_name="theirs"))]
    outcome = use_cases.suspend(onboarded, P, "unpaid")
    assert (outcome.after.spec.display_name, outcome.after.spec.suspended) == ("theirs", "unpaid")


def test_one_who_is_always_slower_gives_up(onboarded: Stored) -> None:
    """With the API server's own conflict."""
    found = onboarded.records[namespace_of(P)]
    onboarded.meddle = [replace(found, spec=replace(found.spec, display_name=str(number))) for number in range(9)]
    with pytest.raises(ConflictError):
        use_cases.suspend(onboarded, P, "unpaid")


def test_suspend_and_resume_are_each_others_opposite(onboarded: Stored) -> None:
    """Nothing of the suspension is left."""
    before = use_cases.get_tenant(onboarded, P).spec
    use_cases.suspend(onboarded, P, "unpaid")
    assert use_cases.resume(onboarded, P).after.spec == before
