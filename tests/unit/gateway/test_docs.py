"""The tables of the documentation agree with the code."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from gateway.errors import ErrorCode
from gateway.settings import settings_table
from policies.model import Builds, CatalogueFunction, Platform

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = DOCS / "reference"


def errors_table() -> str:
    rows = [f"| `{kind.code}` | {kind.status} | {kind.value.sentence} |" for kind in ErrorCode]
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
    [(Platform, "# platform.yaml"), (CatalogueFunction, "Of a function:"), (Builds, "Of builds:")],
    ids=["platform", "function", "builds"],
)
def test_every_field_of_the_platform_file_is_there_with_its_default(kind: type, heading: str) -> None:
    text = (REFERENCE / "platform-yaml.md").read_text(encoding="utf-8")
    table = text.partition(heading)[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    shown = [line.split(" | ")[:2] for line in table.splitlines()]
    wanted = [[f"| `{field.name}`", default(field)] for field in dataclasses.fields(kind) if field.name != "name"]
    assert sorted(shown) == sorted(wanted)


@pytest.mark.parametrize(("name", "table"), [("settings", settings_table()), ("errors", errors_table())])
def test_table_in_the_reference_is_what_the_code_says(name: str, table: str) -> None:
    text = (REFERENCE / f"{name}.md").read_text(encoding="utf-8")
    assert text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0] == table


def test_troubleshooting_has_every_error_code_once_with_its_status() -> None:
    """A caller finds the cause of each error of the closed list, and no code that does not exist."""
    text = (DOCS / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z][\w.]+)` \| (\d{3}) \|", text, re.MULTILINE)
    assert sorted(rows) == sorted((kind.code, str(kind.status)) for kind in ErrorCode)


def test_no_page_names_an_error_code_that_does_not_exist() -> None:
    """Pages quote codes in tables and in prose."""
    in_the_log_only = {"caller.gone", "reply.truncated"}
    known = {kind.code for kind in ErrorCode} | in_the_log_only
    subjects = "|".join({code.partition(".")[0] for code in known})
    for page in DOCS.rglob("*.md"):
        named = set(re.findall(rf"`((?:{subjects})\.(?!py`|yaml`|toml`)[a-z0-9_]+)`", page.read_text(encoding="utf-8")))
        assert named <= known, page
