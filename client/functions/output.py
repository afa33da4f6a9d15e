"""Prints functions as tables and pages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_WORDS = {True: "yes", False: "no", None: "unknown"}


def as_table(functions: Iterable[Mapping[str, Any]]) -> str:
    """One line for each function."""
    rows = [("NAME", "READY", "REASON", "REVISION", "URL")]
    for function in functions:
        ready = condition_of(function, "Ready")
        status = _WORDS[ready.get("status")]
        reason = "" if ready.get("status") else str(ready.get("reason", ""))
        rows.append((function["name"], status, reason, function["status"]["latest_ready_revision"], function["url"]))
    return columns(rows)


def as_page(function: Mapping[str, Any]) -> str:
    """All fields of a function."""
    status = function["status"]
    rows = [
        ("name", function["name"]),
        ("url", function["url"]),
        ("image", function["image"]),
        *((name.replace("_", " "), str(function[name])) for name in _NUMBERS),
        *((name, " ".join(function[name])) for name in ("command", "args") if function[name]),
        *((f"env {name}", value) for name, value in function["environment"].items()),
    ]
    for each in status["active_revisions"]:
        tag = f", tag {each['tag']}" if each["tag"] else ""
        rows.append((f"revision {each['name']}", f"{each['percent']} % of the calls{tag}"))
    for condition in status["conditions"]:
        text = f"{_WORDS[condition['status']]} {condition['reason']}"
        message = condition["message"].replace("\n", "\n    ")
        rows.append((f"condition {condition['type']}", f"{text}: {message}" if message else text))
    return columns(rows)


def revisions_table(revisions: Iterable[Mapping[str, Any]]) -> str:
    """One line for each revision."""
    rows = [("REVISION", "CREATED", "READY", "CALLS", "TAGS", "REASON")]
    for each in revisions:
        share = f"{each['percent']} %" if each["percent"] else ""
        tags = ",".join(each["tags"])
        rows.append((each["name"], each["created_at"], _WORDS[each["ready"]], share, tags, each["reason"]))
    return columns(rows)


def condition_of(function: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a function; empty if it was not reported."""
    return next((each for each in function["status"]["conditions"] if each["type"] == type_), {})


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


_NUMBERS = (
    "port",
    "cpu_millis",
    "memory_mib",
    "concurrency",
    "timeout_seconds",
    "min_scale",
    "max_scale",
    "objects",
)
