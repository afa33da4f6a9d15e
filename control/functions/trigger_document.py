"""JSON documents of triggers. Pure. The trust's id is in none: readers of the project see them."""

import datetime as dt
from typing import Any

from tenancy.model.schedule import Schedule, ScheduleError, next_after
from tenancy.model.times import timestamp
from tenancy.model.trigger import TriggerRecord


def trigger_document(record: TriggerRecord, now: dt.datetime) -> dict[str, Any]:
    """The JSON of one trigger."""
    spec, status, source = record.spec, record.status, record.spec.source
    firing, ready = status.firing, status.readiness
    if isinstance(source, Schedule):
        what: dict[str, Any] = {"schedule": {"cron": source.cron, "time_zone": source.time_zone}}
    else:
        names = ("container", "prefix", "output", "overwrite")
        what = {"object_created": {name: getattr(source, name) for name in names}}
    return {
        "name": spec.name,
        "function": spec.function,
        "user_id": spec.user_id,
        **what,
        "created_at": record.created_at,
        "next_at": _next(record, now),
        "status": {
            "current": bool(record.generation) and status.observed_generation == record.generation,
            "last_firing": None
            if firing is None
            else {
                "outcome": firing.outcome.value,
                "message": firing.message,
                "id": firing.id,
                "at": timestamp(firing.at),
            },
            "conditions": []
            if ready is None
            else [{"type": "Ready", "status": ready.status, "reason": ready.reason, "message": ready.message}],
        },
    }


def _next(record: TriggerRecord, now: dt.datetime) -> str | None:
    """The next time of a schedule; None for other triggers, and for one that may not fire."""
    source, ready = record.spec.source, record.status.readiness
    if not isinstance(source, Schedule) or (ready is not None and not ready.status):
        return None
    try:
        found = next_after(source, now)
    except ScheduleError:
        # Written by Git, where nobody checks it.
        return None
    return timestamp(found) if found else None
