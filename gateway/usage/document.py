"""Answers about usage: JSON, CSV, and the forms that CloudKitty and Gnocchi take. Pure."""

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Any

from operations.store.usage import HOUR_MS, SUMS, UsageQuestion, UsageRow

MIB_MS_PER_GB_SECOND = 1024 * 1000
# What is rated: metric, unit, and how it comes from the sums.
_RATED = (("osfaas.calls", "call", "calls"), ("osfaas.gb_seconds", "GB*s", "gb_seconds"),
          ("osfaas.object_bytes", "B", "object_bytes"), ("osfaas.response_bytes", "B", "response_bytes"))  # fmt: skip
COLUMNS = tuple(
    {"duration_ms": "seconds", "function_ms": "function_seconds", "mib_ms": "gb_seconds"}.get(name, name)
    for name in SUMS
)
_SHOWN_GROUPS = {"project": "project_id", "user": "user_id"}


def time_text(milliseconds: int) -> str:
    """A time in ISO 8601, UTC."""
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quantities(sums: Mapping[str, int]) -> dict[str, int | float]:
    """The sums in the units of answers: seconds, and GB-seconds of 1024 MiB."""
    found: dict[str, int | float] = {}
    for name, shown in zip(SUMS, COLUMNS, strict=True):
        divisor = {"duration_ms": 1000, "function_ms": 1000, "mib_ms": MIB_MS_PER_GB_SECOND}.get(name)
        found[shown] = sums[name] if divisor is None else round(sums[name] / divisor, 6)
    return found


def group_of(groups: Sequence[str], row: UsageRow) -> dict[str, str]:
    """The names of a row's group; times in ISO 8601."""
    return {
        _SHOWN_GROUPS.get(name, name): time_text(value) if isinstance(value, int) else value
        for name, value in zip(groups, row.group, strict=True)
    }


def json_document(question: UsageQuestion, rows: Sequence[UsageRow], next_url: str | None) -> dict[str, Any]:
    """The answer in JSON, with a link to the next page as OpenStack has it."""
    links = [{"rel": "next", "href": next_url}] if next_url else []
    return {
        "start": time_text(question.start),
        "end": time_text(question.end),
        "usage": [{**group_of(question.groups, row), **quantities(row.sums)} for row in rows],
        "usage_links": links,
    }


def csv_text(question: UsageQuestion, rows: Sequence[UsageRow]) -> str:
    """The answer as CSV (RFC 4180), with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*(_SHOWN_GROUPS.get(name, name) for name in question.groups), *COLUMNS])
    for row in rows:
        writer.writerow([*group_of(question.groups, row).values(), *quantities(row.sums).values()])
    return text.getvalue()


def cloudkitty_document(question: UsageQuestion, rows: Sequence[UsageRow]) -> dict[str, Any]:
    """The body of CloudKitty's `POST /v2/dataframes`: one dataframe for each hour, without prices."""
    frames: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        names = group_of(question.groups, row)
        usage = frames.setdefault(int(row.group[0]), {})
        for metric, unit, quantity in _quantities_of(row):
            point = {
                "vol": {"unit": unit, "qty": quantity},
                "groupby": {name: names[name] for name in ("project_id", "user_id")},
                "metadata": {name: names[name] for name in ("function", "revision")},
            }
            usage.setdefault(metric, []).append(point)
    return {
        "dataframes": [
            {"period": {"begin": time_text(hour), "end": time_text(hour + HOUR_MS)}, "usage": usage}
            for hour, usage in frames.items()
        ]
    }


def gnocchi_document(question: UsageQuestion, rows: Sequence[UsageRow]) -> dict[str, Any]:
    """The body of Gnocchi's `POST /v1/batch/resources/metrics/measures`: a resource for each project and function."""
    document: dict[str, dict[str, Any]] = {}
    for row in rows:
        names = group_of(question.groups, row)
        resource = document.setdefault(f"osfaas:{names['project_id']}:{names['function']}", {})
        for metric, unit, quantity in _quantities_of(row):
            found = resource.setdefault(metric, {"unit": unit, "measures": []})
            found["measures"].append({"timestamp": names["hour"], "value": quantity})
    return {name: metrics for name, metrics in document.items() if metrics}


def _quantities_of(row: UsageRow) -> list[tuple[str, str, int | float]]:
    shown = quantities(row.sums)
    return [(metric, unit, shown[name]) for metric, unit, name in _RATED if shown[name]]
