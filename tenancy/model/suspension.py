"""Whether a tenant is suspended, and why: one rule for gateway and controller. Pure."""

from dataclasses import dataclass, replace

from policies.model import TenantSpec
from tenancy.model.record import ProjectState, TenantRecord

OFFBOARDING, SUSPENDED = "Offboarding", "Suspended"
PROJECT_DELETED, PROJECT_DISABLED = "ProjectDeleted", "ProjectDisabled"


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why a tenant is suspended.

    Attributes:
        reason: one CamelCase word, of the `Ready` condition.
        message: shown to callers and administrators.
    """

    reason: str
    message: str


def suspension_of(record: TenantRecord, project: ProjectState) -> Suspension | None:
    """The suspension of a tenant, or None.

    `Unknown` is no reason: Keystone may be unreachable. Reasons that only an administrator can end take precedence over
    reasons that end with the state of the project.

    Args:
        record: of the tenant.
        project: the state of its project.
    """
    if record.offboarding is not None:
        return Suspension(OFFBOARDING, "the project is being offboarded")
    if project is ProjectState.DELETED:
        return Suspension(PROJECT_DELETED, "the project no longer exists in Keystone")
    if record.spec.suspended is not None:
        return Suspension(SUSPENDED, record.spec.suspended)
    if project is ProjectState.DISABLED:
        return Suspension(PROJECT_DISABLED, "the project is disabled in Keystone")
    return None


def spec_in_force(record: TenantRecord, project: ProjectState) -> TenantSpec:
    """The specification to build: the record's, with the current suspension."""
    suspension = suspension_of(record, project)
    return replace(record.spec, suspended=suspension.message if suspension else None)
