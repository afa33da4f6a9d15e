"""The tables in the reference are those that the code makes."""

import dataclasses
import json
from pathlib import Path

import pytest

from gateway.errors import Kind
from gateway.settings import settings_table
from policies.model import CatalogueFunction, Platform

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"


def errors_table() -> str:
    rows = [f"| `{kind.code}` | {kind.status} | {kind.value.sentence} |" for kind in Kind]
    return "\n".join(["| code | status | sentence |", "|---|---|---|", *rows])


def default(field: dataclasses.Field[object]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        value: object = field.default_factory()
    elif field.default is dataclasses.MISSING:
        return "must be there"
    else:
        value = list(field.default) if isinstance(field.default, tuple) else field.default
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value).replace(chr(34), '')}`"


@pytest.mark.parametrize(
    ("kind", "heading"),
    [(Platform, "## platform.yaml"), (CatalogueFunction, "Of a function:")],
    ids=["platform", "function"],
)
def test_every_field_of_the_platform_file_is_there_with_its_default(kind: type, heading: str) -> None:
    table = (
        REFERENCE.read_text(encoding="utf-8").partition(heading)[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    )
    shown = [line.split(" | ")[:2] for line in table.splitlines()]
    wanted = [[f"| `{field.name}`", default(field)] for field in dataclasses.fields(kind) if field.name != "name"]
    assert sorted(shown) == sorted(wanted)


@pytest.mark.parametrize(("name", "table"), [("settings", settings_table()), ("errors", errors_table())])
def test_table_in_the_reference_is_what_the_code_says(name: str, table: str) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0] == table
