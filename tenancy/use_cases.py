"""Use cases of administrators: onboard, update, suspend, resume, offboard. Each changes one record.

The commands (`osfaas tenant …`) and the administrators' API (`/v1/projects`) share them. They only write the record;
the controller does the rest. All are idempotent: an unchanged record is not written. After a conflicting write the
record is read again, so no change is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policies.model import IsolationLevel, Limits, TenantSpec
from tenancy.model.errors import AdministrationError, ConflictError, NotOnboardedError
from tenancy.model.record import Offboarding, TenantRecord

# Needed for annotations only; importing them would load the clients of Kubernetes and OpenStack.
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from policies.names import ProjectId
    from tenancy.keystone_projects import Project
    from tenancy.repository import TenantRepository

DEFAULT_GRACE_SECONDS = 7 * 86_400
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class TenantPatch:
    """A partial specification; None leaves a field unchanged, or at its default.

    Attributes:
        limits: fields of `Limits` by name.
    """

    display_name: str | None = None
    isolation: IsolationLevel | None = None
    functions: tuple[str, ...] | None = None
    limits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record before and after a change.

    Attributes:
        before: None if there was none.
        after: as stored, or as it would be stored in a dry run.
    """

    before: TenantRecord | None
    after: TenantRecord

    @property
    def changed(self) -> bool:
        before = self.before
        return before is None or (before.spec, before.offboarding) != (self.after.spec, self.after.offboarding)


def list_tenants(tenants: TenantRepository) -> tuple[TenantRecord, ...]:
    """All records.

    Raises:
        ClusterError, RecordError: the list is not complete.
    """
    return tenants.list()


def get_tenant(tenants: TenantRepository, project_id: ProjectId) -> TenantRecord:
    """The record of a project.

    Raises:
        NotOnboardedError: there is none.
        ClusterError, RecordError: it cannot be read.
    """
    record = tenants.get(project_id)
    if record is None:
        raise NotOnboardedError(f"project {project_id} is not onboarded")
    return record


def onboard(tenants: TenantRepository, project: Project, patch: TenantPatch, *, dry_run: bool = False) -> Outcome:
    """Onboards a project. If it is onboarded already, only the fields of the patch are changed.

    Raises:
        AdministrationError: the project is disabled, or is being offboarded.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    if not project.enabled:
        raise AdministrationError(f"project {project.name} is disabled in Keystone: enable it there first")
    defaults = TenantPatch(display_name=project.name)

    def wanted(record: TenantRecord | None) -> TenantRecord:
        if record is None:
            return _patched(_patched(TenantRecord(TenantSpec(project.id)), defaults), patch)
        if record.offboarding:
            raise AdministrationError(
                f"project {project.name} is being offboarded: cancel that first "
                f"(osfaas tenant offboard {project.id} --cancel)"
            )
        return _patched(record, patch)

    return _change(tenants, project.id, wanted, dry_run=dry_run)


def update(tenants: TenantRepository, project_id: ProjectId, patch: TenantPatch, *, dry_run: bool = False) -> Outcome:
    """Changes limits, isolation level, functions or display name.

    Raises:
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    return _change(tenants, project_id, lambda record: _patched(_require(record, project_id), patch), dry_run=dry_run)


def suspend(tenants: TenantRepository, project_id: ProjectId, reason: str, *, dry_run: bool = False) -> Outcome:
    """Suspends a tenant: nothing of it runs, and its calls get 403 with the reason.

    Raises:
        AdministrationError: the reason is empty.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """
    if not reason.strip():
        raise AdministrationError("a suspension needs a reason, which is shown to callers")

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _require(record, project_id)
        return replace(found, spec=replace(found.spec, suspended=reason.strip()))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def resume(tenants: TenantRepository, project_id: ProjectId, *, dry_run: bool = False) -> Outcome:
    """Ends a suspension.

    Raises:
        AdministrationError: the tenant is being offboarded, which suspends it.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _require(record, project_id)
        if found.offboarding:
            raise AdministrationError(
                "the tenant is suspended by its offboarding: cancel that with "
                f"osfaas tenant offboard {project_id} --cancel"
            )
        return replace(found, spec=replace(found.spec, suspended=None))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def offboard(
    tenants: TenantRepository,
    project_id: ProjectId,
    *,
    now: dt.datetime,
    grace_seconds: int = DEFAULT_GRACE_SECONDS,
    dry_run: bool = False,
) -> Outcome:
    """First step of offboarding: suspends the tenant and starts the grace period. Nothing is deleted yet.

    Raises:
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _require(record, project_id)
        # Repeating it must not restart the grace period.
        return found if found.offboarding else replace(found, offboarding=Offboarding(_seconds(now), grace_seconds))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def confirm_offboarding(
    tenants: TenantRepository, project_id: ProjectId, *, now: dt.datetime, dry_run: bool = False
) -> Outcome:
    """Second step of offboarding: the controller deletes the namespace with everything in it, then the record.

    Raises:
        AdministrationError: the first step is missing, or its grace period is not over.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _require(record, project_id)
        if not found.offboarding:
            raise AdministrationError(f"offboarding was not requested: run osfaas tenant offboard {project_id} first")
        if now < found.offboarding.over_at:
            raise AdministrationError(
                f"the grace period ends at {found.offboarding.over_at:%Y-%m-%d %H:%M:%S %Z}: confirm the removal then"
            )
        return replace(found, offboarding=replace(found.offboarding, confirmed=True))

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def cancel_offboarding(tenants: TenantRepository, project_id: ProjectId, *, dry_run: bool = False) -> Outcome:
    """Cancels the first step of offboarding.

    Raises:
        AdministrationError: it is confirmed, so objects may be deleted already.
        NotOnboardedError: there is no such tenant.
        ClusterError, RecordError: the record cannot be read or stored.
    """

    def wanted(record: TenantRecord | None) -> TenantRecord:
        found = _require(record, project_id)
        if found.offboarding and found.offboarding.confirmed:
            raise AdministrationError(
                "the offboarding is confirmed and cannot be cancelled: onboard the project again after its removal"
            )
        return replace(found, offboarding=None)

    return _change(tenants, project_id, wanted, dry_run=dry_run)


def _change(
    tenants: TenantRepository,
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


def _require(record: TenantRecord | None, project_id: ProjectId) -> TenantRecord:
    if record is None:
        raise NotOnboardedError(f"project {project_id} is not onboarded")
    return record


def _patched(record: TenantRecord, patch: TenantPatch) -> TenantRecord:
    spec = record.spec
    given: dict[str, Any] = {
        name: value
        for name in ("display_name", "isolation", "functions")
        if (value := getattr(patch, name)) is not None
    }
    limits: dict[str, Any] = {**{name: getattr(spec.limits, name) for name in Limits.__slots__}, **dict(patch.limits)}
    return replace(record, spec=replace(spec, limits=Limits(**limits), **given))


def _seconds(moment: dt.datetime) -> dt.datetime:
    """Truncated to whole seconds, the resolution of a record."""
    return moment.replace(microsecond=0)
