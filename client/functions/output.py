"""Functions and revisions as rows of a table."""

from collections.abc import Iterable, Mapping
from typing import Any

_WORDS = {True: "yes", False: "no", None: "unknown"}


def function_rows(functions: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The head of the columns, and a row for each function."""
    rows: list[tuple[str, ...]] = [("NAME", "READY", "REASON", "REVISION", "URL")]
    for function in functions:
        ready = condition_of(function, "Ready")
        status = _WORDS[ready.get("status")]
        reason = "" if ready.get("status") else str(ready.get("reason", ""))
        rows.append((function["name"], status, reason, function["status"]["latest_ready_revision"], function["url"]))
    return rows


def page_rows(function: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A row for each field of a function."""
    status = function["status"]
    rows = [
        ("name", function["name"]),
        ("url", function["url"]),
        *((name, function[name]) for name in ("image", "source") if function.get(name)),
        *((name.replace("_", " "), str(function[name])) for name in _NUMBERS),
        *((name, " ".join(function[name])) for name in ("command", "args") if function[name]),
        *(("secret", f"{name}, as /run/secrets/{name}") for name in function["secrets"]),
        *((f"env {name}", value) for name, value in function["environment"].items()),
    ]
    for each in status["active_revisions"]:
        tag = f", tag {each['tag']}" if each["tag"] else ""
        rows.append((f"revision {each['name']}", f"{each['percent']} % of the calls{tag}"))
    revisions = function.get("metrics", {}).get("revisions", ())
    rows.extend((f"calls of {each['name']}", _counts(each)) for each in revisions)
    for condition in status["conditions"]:
        text = f"{_WORDS[condition['status']]} {condition['reason']}"
        message = condition["message"].replace("\n", "\n    ")
        rows.append((f"condition {condition['type']}", f"{text}: {message}" if message else text))
    return rows


def _counts(revision: Mapping[str, Any]) -> str:
    words = [f"{revision['calls']} calls", f"{revision['errors']} failed"]
    words += [
        f"{name} {revision[f'{name}_seconds'] * 1000:.0f} ms"
        for name in ("p50", "p95")
        if revision[f"{name}_seconds"] is not None
    ]
    if revision["cold_starts"] is not None:
        words.append(f"{revision['cold_starts']} cold starts")
    return ", ".join(words)


def revision_rows(revisions: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The head of the columns, and a row for each revision."""
    rows: list[tuple[str, ...]] = [("REVISION", "CREATED", "READY", "CALLS", "TAGS", "REASON")]
    for each in revisions:
        share = f"{each['percent']} %" if each["percent"] else ""
        tags = ",".join(each["tags"])
        rows.append((each["name"], each["created_at"], _WORDS[each["ready"]], share, tags, each["reason"]))
    return rows


def condition_of(function: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a function; empty if it was not reported."""
    return next((each for each in function["status"]["conditions"] if each["type"] == type_), {})


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
