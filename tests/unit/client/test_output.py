"""Formats of `osfaas` commands, which are those of `openstack`."""

import csv
import io
import json

import click
import pytest
import yaml
from click.testing import CliRunner

from client.output import FORMS, output_options, render, render_one

DOCUMENTS = [{"name": "ü", "ready": True, "more": {"x": 1}}, {"name": "b, c", "ready": False, "more": {}}]
ROWS = [("NAME", "READY"), ("ü", "yes"), ("b, c", "no")]


@click.group()
def program() -> None: ...


@program.command("list")
@output_options
def list_(form: str) -> None:
    click.echo(render(form, DOCUMENTS, ROWS))


@program.command()
@output_options
def show(form: str) -> None:
    click.echo(render_one(form, DOCUMENTS[0], [("name", "ü"), ("ready", "yes")]))


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(program, list(words))
    assert done.exit_code == code, done.output
    return done.output


def test_each_format_has_all_objects():
    assert json.loads(run("list", "-f", "json")) == DOCUMENTS == yaml.safe_load(run("list", "--format", "yaml"))
    assert [tuple(row) for row in csv.reader(io.StringIO(run("list", "-f", "csv")))] == ROWS
    assert run("list", "-f", "value") == "ü yes\nb, c no\n"
    assert run("list") == "NAME  READY\nü     yes\nb, c  no\n"


def test_each_format_has_the_fields_of_one_object():
    assert json.loads(run("show", "-f", "json")) == DOCUMENTS[0] == yaml.safe_load(run("show", "-f", "yaml"))
    assert run("show", "-f", "csv") == "field,value\nname,ü\nready,yes\n"
    assert run("show", "-f", "value", "-c", "READY") == "yes\n"
    assert run("show") == "name   ü\nready  yes\n"


def test_columns_are_chosen_in_order_and_without_regard_to_case():
    assert run("list", "-f", "value", "-c", "ready", "-c", "Name") == "yes ü\nno b, c\n"
    assert json.loads(run("list", "-f", "json", "-c", "name")) == [{"name": "ü"}, {"name": "b, c"}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", ["list", "show"])
def test_column_that_is_not_there_is_wrong_usage(command, form):
    """Empty output would look like an empty list."""
    assert "There is no column 'nam'" in run(command, "-f", form, "-c", "nam", code=2)
