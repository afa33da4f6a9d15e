"""Values of `openstack function …` in cliff's formatters say the same in each."""

import argparse
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from cliff.formatters import commaseparated, json_format, table, value, yaml_format
from openstack.exceptions import HttpException
from osc_lib.exceptions import CommandError

from client.osc.base import formatted, shown
from client.osc.checksum import ListChecksum
from client.sdk.values import Checksum
from tests.openstack_program import agreed

FORMATTERS = {
    "json": json_format.JSONFormatter,
    "yaml": yaml_format.YAMLFormatter,
    "csv": commaseparated.CSVLister,
    "value": value.ValueFormatter,
    "table": table.TableFormatter,
}
OPTIONS = argparse.Namespace(noindent=False, max_width=0, fit_width=False, print_empty=False, quote_mode="nonnumeric")
FIELDS = {
    "name": "hello",
    "command": ["serve", "--loud", "a"],
    "args": ["-c", "if 1:\n    print('x | y')\n\n# end"],
    "environment": {"B": "2", "A": "1"},
    "revisions": [{"name": "hello-2", "percent": 10, "tags": ["b", "a"]}, {"name": "hello-1", "percent": None}],
    "traffic": None,
    "ready": True,
    "none": [],
}


def printed(*, one: bool) -> dict[str, str]:
    """What each formatter prints of the fields, as one object or as the rows of a list."""
    found = {}
    for form, formatter in FORMATTERS.items():
        out = io.StringIO()
        if not one:
            names = ["name", "traffic", "ready"]
            rows = [[formatted(FIELDS[name]) for name in names], ["two words", 7, ""]]
            formatter().emit_list(names, rows, out, OPTIONS)
        elif form != "csv":
            formatter().emit_one(*shown(FIELDS), out, OPTIONS)
        else:
            continue
        found[form] = out.getvalue()
    return found


def test_one_object_is_the_same_in_each() -> None:
    assert agreed(printed(one=True)) == FIELDS


def test_list_is_the_same_in_each() -> None:
    first, second = agreed(printed(one=False))
    assert (first["traffic"], first["ready"], second["name"]) == (None, True, "two words")


def test_words_keep_their_order_in_a_table() -> None:
    """osc-lib's own column sorts them."""
    assert " serve, --loud, a " in printed(one=True)["table"]


@pytest.mark.parametrize("form", ["yaml", "csv", "value", "table"])
@pytest.mark.parametrize("one", [True, False])
def test_format_that_says_something_else_is_seen(form: str, one: bool) -> None:
    texts = printed(one=one)
    if form not in texts:
        return
    for wrong in (texts[form].replace("hello", "hallo"), ""):
        with pytest.raises((AssertionError, IndexError)):
            agreed({**texts, form: wrong})


def run(form: str, checksums: Any) -> str:
    """What `openstack checksum list` prints."""
    client = SimpleNamespace(function=SimpleNamespace(checksums=checksums))
    app = SimpleNamespace(client_manager=client, stdout=io.StringIO())
    command = ListChecksum(app, None)  # type: ignore[arg-type]
    command.run(command.get_parser("checksum list").parse_args(["-f", form, "demo"]))
    return str(app.stdout.getvalue())


@pytest.mark.parametrize("form", FORMATTERS)
def test_terminal_gets_no_control_character_of_a_name(form: str) -> None:
    """Whoever may write an object chooses its name."""
    name = "a\x1b[2J\x07\x9b1m\rb"
    found = Checksum("demo", name, {"md5": "0"}, None, 1, False, None)
    text = run(form, lambda *_args, **_query: iter([found]))
    assert "a" in text
    assert all(each.isprintable() or each == "\n" for each in text)
    if form == "json":
        assert json.loads(text)[0]["Object"] == name


def test_terminal_gets_no_control_character_of_an_error() -> None:
    def checksums(*_args: Any, **_query: Any) -> Any:
        raise HttpException("no \x1b[2J")

    with pytest.raises(CommandError) as caught:
        run("table", checksums)
    assert str(caught.value).isprintable()


def test_terminal_gets_no_control_character_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    ListChecksum(SimpleNamespace(), None).say("no \x1b[2J")  # type: ignore[arg-type]
    assert capsys.readouterr().err == "no \N{REPLACEMENT CHARACTER}[2J\n"
