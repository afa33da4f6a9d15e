"""No case of the object suite is left out on a store without a reason that the documentation gives."""

import ast
from pathlib import Path

from lacks import LACKS, NAMES, table

ROOT = Path(__file__).parents[2]


def test_reference_has_each_case_that_does_not_run_and_why() -> None:
    text = (ROOT / "docs" / "reference" / "stores.md").read_text(encoding="utf-8")
    assert text.partition("<!-- lacks -->\n")[2].partition("\n<!-- /lacks -->")[0] == table()


def test_each_reason_is_about_stores_that_exist_and_once_for_each() -> None:
    for feature, reasons in LACKS.items():
        stores = [store for group in reasons for store in group]
        assert len(stores) == len(set(stores)), feature
        assert set(stores) < set(NAMES), feature


def test_suite_skips_nothing_for_another_reason() -> None:
    for path in (ROOT / "tests" / "stores").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.skip", "pytest.mark.skipif"}:
                assert "lacks[" in ast.unparse(node.args[0]), f"{path.name}:{node.lineno}"
