"""The tables in the reference are those that the code makes."""

from pathlib import Path

import pytest

from gateway.errors import Kind
from gateway.settings import settings_table

REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"


def errors_table() -> str:
    rows = [f"| `{kind.code}` | {kind.status} | {kind.value.sentence} |" for kind in Kind]
    return "\n".join(["| code | status | sentence |", "|---|---|---|", *rows])


@pytest.mark.parametrize(("name", "table"), [("settings", settings_table()), ("errors", errors_table())])
def test_table_in_the_reference_is_what_the_code_says(name: str, table: str) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0] == table
