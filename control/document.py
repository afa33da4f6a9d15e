"""JSON documents of `/v1/projects`: rendering of records, and parsing of changes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode, GatewayError
from gateway.suggestions import unknown_name
from policies.model import IsolationLevel, Limits
from tenancy.model.record import TenantRecord
from tenancy.model.times import timestamp
from tenancy.use_cases import TenantPatch

_PATCH_FIELDS = frozenset(["display_name", "isolation", "functions", "limits"])
_MOST_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """A parsed change of a project.

    Attributes:
        patch: changed fields of the specification.
        suspends: whether `suspended` is present.
        suspended: the reason, or None to resume.
        cancels_offboarding: whether `offboarding` is present; it can only be null.
    """

    patch: TenantPatch
    suspends: bool = False
    suspended: str | None = None
    cancels_offboarding: bool = False


def parse_change(body: Any, *, states: bool) -> ProjectChange:
    """Parses `{"project": {…}}`.

    Args:
        body: the JSON.
        states: whether `suspended` and `offboarding` are allowed.

    Raises:
        GatewayError: REQUEST_MALFORMED, naming the field.
    """
    fields = body.get("project") if isinstance(body, dict) and set(body) == {"project"} else None
    if not isinstance(fields, dict):
        raise _malformed("the body must be an object with the single field 'project'")
    known = _PATCH_FIELDS | ({"suspended", "offboarding"} if states else set())
    for name in fields:
        if name not in known:
            raise _malformed(unknown_name("field", name, known))
    suspended = fields.get("suspended")
    if suspended is not None and not (isinstance(suspended, str) and suspended.strip()):
        raise _malformed("'suspended' must be a reason or null")
    if fields.get("offboarding") is not None:
        raise _malformed("'offboarding' must be null, which cancels it; DELETE requests it")
    return ProjectChange(_patch(fields), "suspended" in fields, suspended, "offboarding" in fields)


def document_of(record: TenantRecord) -> dict[str, Any]:
    """The JSON of one project."""
    spec, status, offboarding = record.spec, record.status, record.offboarding
    return {
        "id": spec.project_id,
        "namespace": record.name,
        "display_name": spec.display_name,
        "isolation": spec.isolation.value,
        "limits": {name: getattr(spec.limits, name) for name in Limits.__slots__},
        "functions": list(spec.functions),
        "suspended": spec.suspended,
        "offboarding": None
        if offboarding is None
        else {
            "requested_at": timestamp(offboarding.requested_at),
            "over_at": timestamp(offboarding.over_at),
            "confirmed": offboarding.confirmed,
        },
        "status": {
            "current": bool(record.generation) and status.observed_generation == record.generation,
            "project": {"state": status.project.value, "name": status.project_name},
            "functions": [
                {name: getattr(function, name) for name in ("name", "ready", "callable", "reason", "message")}
                for function in status.functions
            ],
            "conditions": [
                {
                    "type": condition.type.value,
                    "status": condition.status,
                    "reason": condition.reason,
                    "message": condition.message,
                }
                for condition in status.conditions
            ],
        },
    }


def _patch(fields: Mapping[str, Any]) -> TenantPatch:
    name, level, functions = (fields.get(field) for field in ("display_name", "isolation", "functions"))
    limits = fields.get("limits", {})
    if name is not None and not isinstance(name, str):
        raise _malformed("'display_name' must be a string")
    if level is not None and level not in [each.value for each in IsolationLevel]:
        raise _malformed(f"'isolation' must be one of {', '.join(each.value for each in IsolationLevel)}")
    if functions is not None and not (isinstance(functions, list) and all(isinstance(one, str) for one in functions)):
        raise _malformed("'functions' must be a list of names")
    if not isinstance(limits, dict):
        raise _malformed("'limits' must be an object")
    for field in limits:
        if field not in Limits.__slots__:
            raise _malformed(unknown_name("field", field, Limits.__slots__))
    if not all(type(value) is int and 0 <= value < _MOST_LIMIT for value in limits.values()):
        raise _malformed("the values of 'limits' must be non-negative integers")
    return TenantPatch(
        display_name=name,
        isolation=None if level is None else IsolationLevel(level),
        functions=None if functions is None else tuple(functions),
        limits=tuple(limits.items()),
    )


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
