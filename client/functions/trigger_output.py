"""Prints triggers as tables and pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from client.functions.output import columns

_WORDS = {True: "yes", False: "no", None: "unknown"}


def triggers_table(triggers: Iterable[Mapping[str, Any]]) -> str:
    """One line for each trigger."""
    rows = [("NAME", "FIRES ON", "READY", "REASON", "LAST", "AT", "NEXT")]
    for trigger in triggers:
        ready, last = _ready(trigger), trigger["status"]["last_firing"] or {}
        rows.append(
            (
                trigger["name"],
                _source(trigger),
                _WORDS[ready.get("status")],
                "" if ready.get("status") else str(ready.get("reason", "")),
                str(last.get("outcome", "")),
                str(last.get("at", "")),
                trigger["next_at"] or "",
            )
        )
    return columns(rows)


def trigger_page(trigger: Mapping[str, Any]) -> str:
    """All fields of a trigger."""
    created, last = trigger.get("object_created") or {}, trigger["status"]["last_firing"]
    rows = [
        ("name", trigger["name"]),
        ("function", trigger["function"]),
        ("fires on", _source(trigger)),
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
    return "\n".join(_printable(line) for line in columns(rows).split("\n"))


def _source(trigger: Mapping[str, Any]) -> str:
    if trigger.get("schedule"):
        return f"{trigger['schedule']['cron']} {trigger['schedule']['time_zone']}"
    created = trigger["object_created"]
    return f"objects {created['container']}/{created['prefix']}*"


def _ready(trigger: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each for each in trigger["status"]["conditions"] if each["type"] == "Ready"), {})


def _printable(text: str) -> str:
    """Without control characters, which a name of an object may have for the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
