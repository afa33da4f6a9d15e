"""Prints records as tables, JSON and diffs."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tenancy.model.record import ConditionType, TenantRecord, manifest_of
from tenancy.model.times import timestamp
from tenancy.model.trigger import TriggerRecord

_WORDS = {True: "yes", False: "no", None: "unknown"}
# Maintained by the API server; they differ after each write.
_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"})


def as_json(records: TenantRecord | Sequence[TenantRecord]) -> str:
    """A record, or a list of them, as `Tenant` objects."""
    plain = _whole(records) if isinstance(records, TenantRecord) else [_whole(record) for record in records]
    return json.dumps(plain, indent=2)


def as_table(records: Iterable[TenantRecord]) -> str:
    """One line per tenant."""
    rows = [("PROJECT ID", "NAME", "LEVEL", "READY", "REASON", "KEYSTONE", "FUNCTIONS")]
    for record in records:
        ready, reason = _readiness(record)
        rows.append(
            (
                record.spec.project_id,
                record.spec.display_name,
                record.spec.isolation.value,
                ready,
                reason,
                record.status.project.value,
                ",".join(record.spec.functions),
            )
        )
    return _columns(rows)


def as_page(record: TenantRecord) -> str:
    """All fields of one tenant."""
    spec, limits = record.spec, record.spec.limits
    ready, reason = _readiness(record)
    rows = [
        ("project", f"{spec.display_name} ({spec.project_id})"),
        ("in Keystone", record.status.project.value),
        ("namespace", spec.namespace),
        ("isolation", spec.isolation.value),
        ("ready", f"{ready} {reason}".strip()),
        *((name.replace("_", " "), str(getattr(limits, name))) for name in type(limits).__slots__),
        ("functions", ", ".join(spec.functions)),
    ]
    if spec.suspended is not None:
        rows.append(("suspended", spec.suspended))
    if record.offboarding:
        confirmed = "confirmed" if record.offboarding.confirmed else "not confirmed"
        rows.append(("offboarding", f"{confirmed}, grace period until {timestamp(record.offboarding.over_at)}"))
    for condition in record.status.conditions:
        text = f"{_WORDS[condition.status]} {condition.reason}"
        rows.append(
            (f"condition {condition.type.value}", f"{text}: {condition.message}" if condition.message else text)
        )
    for function in record.status.functions:
        text = (
            "runs when called" if function.ready and not function.reason else f"{function.reason}: {function.message}"
        )
        rows.append((f"function {function.name}", text))
    return _columns(rows)


def difference(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """A unified diff of two objects as YAML; "" if they are the same."""
    return "".join(
        difflib.unified_diff(_lines(before), _lines(after), f"{name} (current)", f"{name} (new)")
        if _lines(before) != _lines(after)
        else ()
    )


def _whole(record: TenantRecord) -> dict[str, Any]:
    status = record.status
    return {
        **manifest_of(record),
        "status": {
            "observedGeneration": status.observed_generation,
            "project": {"state": status.project.value, "name": status.project_name},
            "functions": [
                {name: getattr(function, name) for name in ("name", "ready", "callable", "reason", "message")}
                for function in status.functions
            ],
            "conditions": [
                {
                    "type": condition.type.value,
                    "status": {True: "True", False: "False", None: "Unknown"}[condition.status],
                    "reason": condition.reason,
                    "message": condition.message,
                }
                for condition in status.conditions
            ],
        },
    }


def _readiness(record: TenantRecord) -> tuple[str, str]:
    for condition in record.status.conditions:
        if condition.type is ConditionType.READY:
            return _WORDS[condition.status], "" if condition.status else condition.reason
    return _WORDS[None], "NotReconciled"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _lines(manifest: Mapping[str, Any] | None) -> list[str]:
    if manifest is None:
        return []
    import yaml

    metadata = {key: value for key, value in manifest.get("metadata", {}).items() if key not in _BOOKKEEPING}
    plain = {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}
    return yaml.safe_dump({**plain, "metadata": metadata}, sort_keys=True).splitlines(keepends=True)


def remaining_trusts(triggers: Sequence[TriggerRecord]) -> Iterator[str]:
    """What a removal leaves in Keystone: the trusts of triggers, whose users are the only ones to delete them."""
    if triggers:
        users = ", ".join(dict.fromkeys(record.spec.user_id for record in triggers))
        yield (
            f"{len(triggers)} triggers act by Keystone trusts of these users: {users}. The removal of the tenant does "
            "not delete the trusts; deleting the triggers before it does ('osfaas function trigger delete')"
        )
