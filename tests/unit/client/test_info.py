"""`osfaas info`: the document of the gateway, as every formatter prints it."""

import argparse
import json
from types import SimpleNamespace

import click.testing
import pytest

from client import access, exchange
from client.cli import main
from client.info import info_of
from client.info_command import flat
from client.login import Login
from client.osc.info import ShowInfo

DOCUMENT = {
    "service_type": "function",
    "versions": {"min_version": "1.0", "max_version": "1.0"},
    "algorithms": ["adler32", "md5"],
    "default_algorithms": ["adler32"],
    "object_store": "swift",
    "features": {"sweeps": True, "usage": False},
    "limits": {"head_max_bytes": 32768, "function_timeout_seconds": 1800.0},
    "a_later_field": "x",
}
LOGIN = Login("t", 0.0, 1e12, "https://faas.test", None, None, verify=True)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> click.testing.Result:
    def fetch(login: Login, url: str, **_: object) -> bytes:
        assert url == "https://faas.test/v1/info"
        return json.dumps(DOCUMENT).encode()

    monkeypatch.setattr(exchange, "fetch", fetch)
    monkeypatch.setattr(access, "with_login", lambda _endpoint, work: work(LOGIN))
    return click.testing.CliRunner().invoke(main, ["info", *words])


def test_table_has_a_line_for_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = run(monkeypatch).output.splitlines()
    assert [line.split(None, 1) for line in printed] == [
        ["service_type", "function"],
        ["versions.min_version", "1.0"],
        ["versions.max_version", "1.0"],
        ["algorithms", "adler32, md5"],
        ["default_algorithms", "adler32"],
        ["object_store", "swift"],
        ["features.sweeps", "true"],
        ["features.usage", "false"],
        ["limits.head_max_bytes", "32768"],
        ["limits.function_timeout_seconds", "1800.0"],
        ["a_later_field", "x"],
    ]


def test_one_value_for_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "-f", "value", "-c", "features.sweeps").output == "true\n"


def test_json_is_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run(monkeypatch, "-f", "json").output) == DOCUMENT
    assert json.loads(run(monkeypatch, "-f", "json", "-c", "features").output) == {"features": DOCUMENT["features"]}


def test_unknown_column_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "-c", "none").exit_code == 2


def test_terminal_gets_no_control_character_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DOCUMENT, "object_store", "\x1b[2J")
    assert "\x1b" not in run(monkeypatch).output


def test_value_of_the_sdk_ignores_what_it_does_not_know() -> None:
    info = info_of(DOCUMENT)
    assert (info.algorithms, info.features["sweeps"], info.limits["head_max_bytes"]) == (
        ("adler32", "md5"),
        True,
        32768,
    )


def test_names_are_flat() -> None:
    assert flat({"a": {"b": {"c": []}}}) == [("a.b.c", "")]


def test_openstack_shows_every_member_that_the_sdk_knows() -> None:
    proxy = SimpleNamespace(info=lambda: info_of(DOCUMENT))
    app = SimpleNamespace(client_manager=SimpleNamespace(function=proxy))
    names, values = ShowInfo(app, None).take_action(argparse.Namespace())  # type: ignore[arg-type]
    assert set(names) == set(DOCUMENT) - {"a_later_field"}
    assert dict(zip(names, values, strict=True))["features"].machine_readable() == DOCUMENT["features"]
