"""Triggers as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_WORDS = {True: "yes", False: "no", None: "unknown"}


def trigger_rows(triggers: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The head of the columns, and a row for each trigger."""
    rows: list[tuple[str, ...]] = [("NAME", "FIRES ON", "READY", "REASON", "LAST", "AT", "NEXT")]
    for trigger in triggers:
        ready, last = _ready(trigger), trigger["status"]["last_firing"] or {}
        rows.append(
            (
                trigger["name"],
                source_text(trigger.get("object_created"), trigger.get("schedule")),
                _WORDS[ready.get("status")],
                "" if ready.get("status") else str(ready.get("reason", "")),
                str(last.get("outcome", "")),
                str(last.get("at", "")),
                trigger["next_at"] or "",
            )
        )
    return rows


def trigger_fields(trigger: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A row for each field of a trigger."""
    created, last = trigger.get("object_created") or {}, trigger["status"]["last_firing"]
    rows = [
        ("name", trigger["name"]),
        ("function", trigger["function"]),
        ("fires on", source_text(trigger.get("object_created"), trigger.get("schedule"))),
        ("acts for", trigger["user_id"]),
    ]
    if created.get("output"):
        rows.append(("output", created["output"] + (" (overwritten)" if created["overwrite"] else "")))
    if trigger["next_at"]:
        rows.append(("next", trigger["next_at"]))
    if last:
        text = f"{last['outcome']} at {last['at']}"
        rows.append(("last firing", f"{text}: {last['message']}" if last["message"] else text))
    for condition in trigger["status"]["conditions"]:
        text = f"{_WORDS[condition['status']]} {condition['reason']}"
        message = condition["message"]
        rows.append((f"condition {condition['type']}", f"{text}: {message}" if message else text))
    return rows


def source_text(created: Mapping[str, Any] | None, schedule: Mapping[str, Any] | None) -> str:
    """What fires a trigger, in a few words."""
    if schedule:
        return f"{schedule['cron']} {schedule['time_zone']}"
    assert created is not None
    return f"objects {created['container']}/{created['prefix']}*"


def _ready(trigger: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each for each in trigger["status"]["conditions"] if each["type"] == "Ready"), {})
