"""Numbers of the same type must be passed by name: mypy cannot see two of them swapped."""

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("gateway", "control", "tenancy", "policies", "client")
_NUMBERS = {"int", "float"}
# The client runs on Python 3.9, whose dataclasses have no kw_only.
# The client runs on Pythons that do not know `kw_only`.
_WITHOUT_KEYWORDS = {"client/login.py: Login", "client/sdk/values.py: Limit", "client/sweeps.py: SweepOrder"}


def _dataclasses() -> Iterator[tuple[str, ast.ClassDef, ast.expr]]:
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
                    called = decorator.func if isinstance(decorator, ast.Call) else decorator
                    if ast.unparse(called) in {"dataclass", "dataclasses.dataclass"}:
                        yield f"{path.relative_to(_ROOT)}: {node.name}", node, decorator


def _positional_numbers(node: ast.ClassDef, decorator: ast.expr) -> list[str]:
    if isinstance(decorator, ast.Call) and any(
        keyword.arg == "kw_only" and ast.unparse(keyword.value) == "True" for keyword in decorator.keywords
    ):
        return []
    names = []
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and "kw_only=True" not in ast.unparse(field):
            types = {part.strip() for part in ast.unparse(field.annotation).split("|")} - {"None"}
            if types and types <= _NUMBERS:
                names.append(ast.unparse(field.target))
    return names


def test_no_dataclass_takes_two_numbers_by_position():
    """An int is a float to mypy, so any two numbers can be swapped unseen."""
    found = list(_dataclasses())
    assert len(found) > 100  # the search itself works

    wrong = {where: names for where, node, decorator in found if len(names := _positional_numbers(node, decorator)) > 1}

    assert wrong.keys() == _WITHOUT_KEYWORDS
