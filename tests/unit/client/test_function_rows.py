"""Functions as rows of a table."""

import re
from pathlib import Path
from typing import Any

from client.functions.output import page_rows
from client.output import aligned

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "observe-a-function.md"


def revision(name: str, **counts: Any) -> dict[str, Any]:
    return {"name": name, **counts}


def test_the_calls_of_each_revision_are_shown_as_the_page_shows_them() -> None:
    function: dict[str, Any] = {
        "name": "hello",
        "url": "https://faas.test/v1/invoke/hello",
        "image": None,
        "source": None,
        "command": [],
        "args": [],
        "secrets": [],
        "environment": {},
        "status": {"active_revisions": [], "conditions": []},
        "metrics": {
            "revisions": [
                revision("hello-3f9c2a1b", calls=900, errors=0, p50_seconds=0.012, p95_seconds=0.048, cold_starts=2),
                revision("hello-77aa01c4", calls=100, errors=3, p50_seconds=0.014, p95_seconds=0.21, cold_starts=0),
            ]
        },
        **dict.fromkeys(
            ("port", "cpu_millis", "memory_mib", "concurrency", "timeout_seconds", "min_scale", "max_scale", "objects")
        ),
    }
    block = re.search(r"osfaas function show hello\n```\n\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    printed = [line.split() for line in aligned(page_rows(function)).splitlines()]
    for line in block[1].splitlines():
        assert line.split() in printed
