"""What an administrator does with tenants: each function changes one record, and says what it did.

The commands (`osfaas tenant …`) and the gateway's `/v1/projects` share these. They write the record only; the
controller does the rest. Every one may be repeated: what is so already is not written again. A record that somebody
else changed meanwhile is read anew, so nobody's change is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policies.model import IsolationLevel, Limits, TenantSpec
from tenancy.model.errors import AdministrationError, ConflictError, NotOnboardedError
from tenancy.model.record import Offboarding, TenantRecord

# What has them is given; only their names are needed, and they would load the clients of Kubernetes and OpenStack.
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from policies.names import ProjectId
    from tenancy.keystone_projects import Project
    from tenancy.repository import Tenants

DEFAULT_GRACE_SECONDS = 7 * 86_400
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of a specification is asked for; None leaves it as it is, or at its default.

    Attributes:
        limits: fields of `Limits` by name.
    """

    display_name: str | None = None
    isolation: IsolationLevel | None = None
    functions: tuple[str, ...] | None = None
    limits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record.

    Attributes:
        before: None if there was none.
        after: as stored, or, in a dry run, as it would be stored.
    """

    before: TenantRecord | None
    after: TenantRecord

    @property
    def changed(self) -> bool:
        before = self.before
        return before is None or (before.spec, before.offboarding) != (self.after.spec, self.after.offboarding)


def list_tenants(tenants: Tenants) -> tuple[TenantRecord, ...]:
    """All records.

    Raises:
        ClusterError, RecordError: the list is not complete.
    """
    return tenants.list()


def get_tenant(tenants: Tenants, project_id: ProjectId) -> TenantRecord:
    """The record of a project.

    Raises:
        NotOnboardedError: there is none.
        ClusterError, RecordError: it cannot be read.
    """
    record = tenants.get(project_id)
    if record is None:
        raise NotOnboardedError(f"project {project_id} is not onboarded")
    return record


def onboard(tenants: Tenants, project: Project, wishes: Wishes, *, dry_run: bool = False) -> Outcome:
    """Makes a tenant of a project; one that is a tenant gets what is asked for beyond.

    Raises:
        AdministrationError: the project is disabled, or is being offboarded.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    if not project.enabled:
        raise AdministrationError(f"project {project.name} is disabled in Keystone: enable it there first")
    usual = Wishes(display_name=project.name)

    def wanted(record: TenantRecord | None) -> TenantRecord:
        if record is None:
            return _with(_with(TenantRecord(TenantSpec(project.id)), usual), wishes)
        if record.offboarding:
            raise AdministrationError(
                f"project {project.name} is being offboarded: take that back first "
                f"(osfaas tenant offboard {project.id} --cancel)"
            )
        return _with(record, wishes)

    return _change(tenants, project.id, wanted, dry_run=dry_run)


def update(tenants: Tenants, project_id: ProjectId, wishes: Wishes, *, dry_run: bool = False) -> Outcome:
    """Changes limits, level, functions or the name for people.

    Raises:
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    return _change(tenants, project_id, lambda record: _with(_there(record, project_id), wishes), dry_run=dry_run)


def suspend(tenants: Tenants, project_id: ProjectId, reason: str, *, dry_run: bool = False) -> Outcome:
    """Stops a tenant: nothing of it runs and its calls get 403 with the reason.

    Raises:
        AdministrationError: without a reason.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    if not reason.strip():
        raise AdministrationError("a suspension needs a reason: the callers see it")

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _there(record, project_id)
        return replace(found, spec=replace(found.spec, suspended=reason.strip()))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def resume(tenants: Tenants, project_id: ProjectId, *, dry_run: bool = False) -> Outcome:
    """Ends a suspension.

    Raises:
        AdministrationError: the tenant is being offboarded, which suspends it.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _there(record, project_id)
        if found.offboarding:
            raise AdministrationError(
                f"the tenant is being offboarded, which suspends it: osfaas tenant offboard {project_id} --cancel"
            )
        return replace(found, spec=replace(found.spec, suspended=None))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def offboard(
    tenants: Tenants,
    project_id: ProjectId,
    *,
    now: dt.datetime,
    grace_seconds: int = DEFAULT_GRACE_SECONDS,
    dry_run: bool = False,
) -> Outcome:
    """The first step of removal: the tenant is suspended, and the grace period begins. Nothing is removed yet.

    Raises:
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _there(record, project_id)
        # Repeated, it must not begin the grace period anew.
        return found if found.offboarding else replace(found, offboarding=Offboarding(_seconds(now), grace_seconds))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def confirm_offboarding(tenants: Tenants, project_id: ProjectId, *, now: dt.datetime, dry_run: bool = False) -> Outcome:
    """The second step: the controller deletes the namespace with everything in it, then the record.

    Raises:
        AdministrationError: the first step was not done, or its grace period is not over.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _there(record, project_id)
        if not found.offboarding:
            raise AdministrationError(f"offboarding was not asked for: osfaas tenant offboard {project_id}, first")
        if now < found.offboarding.over_at:
            raise AdministrationError(
                f"the grace period lasts until {found.offboarding.over_at:%Y-%m-%d %H:%M:%S %Z}: confirm it then"
            )
        return replace(found, offboarding=replace(found.offboarding, confirmed=True))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def cancel_offboarding(tenants: Tenants, project_id: ProjectId, *, dry_run: bool = False) -> Outcome:
    """Takes the first step back.

    Raises:
        AdministrationError: it is confirmed, so things may be gone already.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _there(record, project_id)
        if found.offboarding and found.offboarding.confirmed:
            raise AdministrationError(
                "offboarding is confirmed: its namespace may be gone already; onboard it anew later"
            )
        return replace(found, offboarding=None)

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def _change(
    tenants: Tenants,
    project_id: ProjectId,
    wanted: Callable[[TenantRecord | None], TenantRecord],
    *,
    dry_run: bool,
) -> Outcome:
    for attempt in range(1, _ATTEMPTS + 1):
        before = tenants.get(project_id)
        outcome = Outcome(before, wanted(before))
        if dry_run or not outcome.changed:
            return outcome
        try:
            return Outcome(before, tenants.update(outcome.after) if before else tenants.create(outcome.after))
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _there(record: TenantRecord | None, project_id: ProjectId) -> TenantRecord:
    if record is None:
        raise NotOnboardedError(f"project {project_id} is not onboarded")
    return record


def _with(record: TenantRecord, wishes: Wishes) -> TenantRecord:
    spec = record.spec
    given: dict[str, Any] = {
        name: value
        for name in ("display_name", "isolation", "functions")
        if (value := getattr(wishes, name)) is not None
    }
    limits: dict[str, Any] = {**{name: getattr(spec.limits, name) for name in Limits.__slots__}, **dict(wishes.limits)}
    return replace(record, spec=replace(spec, limits=Limits(**limits), **given))


def _seconds(moment: dt.datetime) -> dt.datetime:
    """Without the fraction, which a record does not keep."""
    return moment.replace(microsecond=0)
