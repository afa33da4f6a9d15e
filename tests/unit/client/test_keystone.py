"""What a user reads when there is no token."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.errors import CommandError
from client.keystone import log_in

PASSWORD = {
    "OS_USERNAME": "alice",
    "OS_PASSWORD": "the-secret",
    "OS_PROJECT_NAME": "p",
    "OS_USER_DOMAIN_NAME": "Default",
    "OS_PROJECT_DOMAIN_NAME": "Default",
}


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credential but the test's."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def sentence(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandError) as refused:
        log_in(None, gateway=None)
    said = str(refused.value)
    assert "the-secret" not in said
    assert "HTTPConnection" not in said
    return said


def test_without_a_credential_it_says_where_one_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said = sentence(monkeypatch)
    assert said.startswith("There is no usable credential: ")
    assert "OS_CLOUD" in said
    assert "OS_AUTH_URL" in said


@pytest.mark.parametrize("path", ["", "/v3"])
def test_keystone_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """With an address that names a version, and with one whose versions have to be looked up."""
    said = sentence(monkeypatch, **PASSWORD, OS_AUTH_URL=f"http://127.0.0.1:1{path}")
    assert said == "Keystone at http://127.0.0.1:1 cannot be reached: Connection refused."


def test_keystone_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    monkeypatch.setattr("client.keystone._KEYSTONE_SECONDS", 0.2)
    said = sentence(monkeypatch, **PASSWORD, OS_AUTH_URL=f"http://{silent}/v3")
    assert said == f"Keystone at http://{silent} cannot be reached: it did not respond in time."
