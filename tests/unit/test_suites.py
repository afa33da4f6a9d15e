"""What all tests keep to, so that they can be trusted on any machine and in any order."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repeat import failures

ROOT = Path(__file__).parents[2]
SENDING = {"get", "head", "post", "put", "patch", "delete", "options", "request", "stream", "Client", "AsyncClient"}


def calls_of_httpx(source: str) -> Iterator[ast.Call]:
    """Calls and clients of httpx that go over a network."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and (node.func.value.id, node.func.attr in SENDING) == ("httpx", True)
            and not any(keyword.arg == "transport" for keyword in node.keywords)
        ):
            yield node


FILES = [
    path for folder in ("integration", "hostile", "long", "faults", "clients", "cluster", "isolation", "stores")
    for path in sorted((ROOT / "tests" / folder).rglob("*.py"))
]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_waits_as_long_as_a_library_happens_to(path: Path) -> None:
    """httpx gives up after five seconds, which a busy machine needs for many a call."""
    found = [
        node.lineno
        for node in calls_of_httpx(path.read_text(encoding="utf-8"))
        if not any(keyword.arg == "timeout" for keyword in node.keywords)
    ]
    assert found == []


def test_repeated_runs_name_what_failed() -> None:
    output = """\
FAILED tests/unit/test_a.py::test_b[x y] - assert 1 == 2
ERROR tests/unit/test_c.py
make[1]: *** [Makefile:41: unit] Error 1
"""
    assert failures(output) == [
        "tests/unit/test_a.py::test_b[x y]",
        "tests/unit/test_c.py",
        "[Makefile:41: unit] Error 1",
    ]
