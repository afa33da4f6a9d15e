"""The table for the terminal, and the same as JSON for whoever draws or compares."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.measure import Comparison, Goal

MARKS = ("<!-- figures -->", "<!-- /figures -->")
CLUSTER_MARKS = ("<!-- cluster figures -->", "<!-- /cluster figures -->")
VERDICTS = {True: "met", False: "NOT MET", None: ""}


def number(value: float) -> str:
    """Three significant digits, as far as that is readable."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(comparisons: Sequence[Comparison]) -> str:
    """One line for each comparison, as Markdown."""
    rows: list[tuple[str, ...]] = [("", "measured", "ours", "peer", "ratio", "goal", "")]
    for each in comparisons:
        peers = ", ".join(f"{name}: {number(median(values))}" for name, values in each.peers.items())
        rows.append(
            (
                each.row,
                each.what,
                f"{number(each.figure)} {each.unit}",
                peers,
                f"{each.ratio:.2f}",
                str(each.goal or "") + ("" if each.goal is None or each.goal.of_ratio else f" {each.unit}"),
                VERDICTS[each.met],
            )
        )
    rows.insert(1, ("---",) * len(rows[0]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        padding = "-" if row[0] == "---" else " "
        cells = (cell.ljust(width, padding) for cell, width in zip(row, widths, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def document(
    comparisons: Sequence[Comparison],
    *,
    effort: dict[str, int],
    missed: Mapping[tuple[str, str], Sequence[str]] | None = None,
) -> dict[str, object]:
    """Everything that was measured, each run; `missed`: what was found about missed goals, by row and `what`."""
    return {
        "machine": {"processors": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "effort": effort,
        "rows": [
            {
                "row": each.row,
                "what": each.what,
                "unit": each.unit,
                "ours": list(each.ours),
                "peers": {name: list(values) for name, values in each.peers.items()},
                "ratio": each.ratio,
                "goal": None if each.goal is None else asdict(each.goal),
                "met": each.met,
                "note": each.note,
                "why": list((missed or {}).get((each.row, each.what), ())),
            }
            for each in comparisons
        ],
    }


def comparisons_of(content: dict[str, Any]) -> list[Comparison]:
    """What `document` was made from."""
    return [
        Comparison(
            each["row"],
            each["what"],
            each["unit"],
            each["ours"],
            each["peers"],
            Goal(**each["goal"]) if each["goal"] else None,
            each["note"],
        )
        for each in content["rows"]
    ]


def put_into(path: Path, figures: str, marks: tuple[str, str] = MARKS) -> None:
    """Replaces the table between the marks in a document."""
    begin, end = marks
    before, mark, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not mark or not closed:
        raise ValueError(f"{path} has no place for the figures, between {begin} and {end}")
    path.write_text(f"{before}{begin}\n{figures}\n{end}{after}", encoding="utf-8")


def write_json(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
