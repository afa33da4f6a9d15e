"""`osfaas checksum list` across the end of a token: nothing twice, nothing lost, and failures are remembered."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client import access, listing
from client.commands import checksum
from client.errors import TokenRefusedError
from client.exchange import RetryPolicy
from client.login import Login

QUERY = listing.ListQuery("c", "", "md5", store=False)


def login(*, expires_in: float = 3_600) -> Login:
    now = time.time()
    return Login(
        token="token",
        issued_at=now,
        expires_at=now + expires_in,
        gateway="http://faas.test",
        swift="http://swift.test/v1/AUTH_p",
        s3=None,
        verify=True,
    )


def good(name: str) -> dict[str, Any]:
    return {"container": "c", "object": name, "digests": {"md5": "0" * 32}}


def bad(name: str, code: int) -> dict[str, Any]:
    return {"container": "c", "object": name, "error": {"code": code, "message": f"It is {code}."}}


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command; each login sees one list of lines, which may end with an error."""

    def run(*logins: list[dict[str, Any] | Exception], expires_in: float = -1) -> Result:
        left = list(logins)

        def lines(*_: Any) -> Iterator[dict[str, Any]]:
            for line in left.pop(0):
                if isinstance(line, Exception):
                    raise line
                yield line

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(listing, "digests_of", lines)
        monkeypatch.setattr(listing, "count_of", lambda *_: None)
        tokens = (dataclasses.replace(login(expires_in=expires_in), token=f"token-{number}") for number in count())
        monkeypatch.setattr(access.LoginCache, "login", lambda *_: next(tokens))
        return CliRunner().invoke(checksum, ["list", "c"])

    return run


def test_failure_before_a_second_login_still_counts_in_the_end(listed: Callable[..., Result]) -> None:
    done = listed([bad("a", 403), good("b"), TokenRefusedError("expired")], [bad("a", 403), good("b"), good("c")])
    assert done.exit_code == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["b", "c"]


def test_token_that_expires_in_the_middle_costs_nothing(listed: Callable[..., Result]) -> None:
    done = listed([good("a"), TokenRefusedError("expired")], [good("a"), TokenRefusedError("expired")], [good("b")])
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)


def test_new_token_that_is_refused_is_no_reason_to_log_in_again(listed: Callable[..., Result]) -> None:
    done = listed([TokenRefusedError("Not valid.")], expires_in=3_600)
    assert done.exit_code == 1
    assert "Not valid." in done.stderr


def test_kept_token_that_is_refused_and_cannot_be_forgotten_is_not_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a folder that is not ours to write to."""
    kept = dataclasses.replace(login(), cached=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(access.LoginCache, "login", lambda *_: kept)
    calls = []

    def work(login: Login) -> None:
        calls.append(login)
        raise TokenRefusedError("Not valid.")

    with pytest.raises(TokenRefusedError):
        access.with_login(None, work)
    assert len(calls) == 1


def test_line_about_the_token_is_not_the_last_word_on_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_pages", lambda *_: iter([["a", "b"]]))
    answer = [json.dumps(each).encode() for each in (good("a"), bad("b", 401))]
    monkeypatch.setattr(listing, "ask", lambda *_, **__: answer)
    found = listing.digests_of(login(), QUERY, RetryPolicy(0))
    assert next(found)["object"] == "a"
    with pytest.raises(TokenRefusedError):
        next(found)


def test_computation_that_goes_on_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_pages", lambda *_: iter([["a"]]))
    answers = [[json.dumps(bad("a", 504)).encode()], [json.dumps(good("a")).encode()]]
    monkeypatch.setattr(listing, "ask", lambda *_, **__: answers.pop(0))
    assert [line.get("error") for line in listing.digests_of(login(), QUERY, RetryPolicy(0))] == [None]


def test_named_objects_are_asked_for_in_pages_and_nothing_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [f"a b/{number}" for number in range(listing.PAGE + 1)]
    asked: list[list[str]] = []

    def lines(
        _login: Login, _query: listing.ListQuery, page: list[str], _retry: RetryPolicy
    ) -> Iterator[dict[str, Any]]:
        asked.append(page)
        return iter([good(name) for name in page])

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(listing, "_asked", lines)
    # A project that has no Swift.
    monkeypatch.setattr(access.LoginCache, "login", lambda *_: dataclasses.replace(login(), swift=None))
    done = CliRunner().invoke(checksum, ["list", "c", "--names", "-"], input="\n".join([*names, names[0], ""]) + "\r\n")
    assert done.exit_code == 0, done.output
    assert asked == [names[: listing.PAGE], names[listing.PAGE :]]
    assert len(done.stdout.splitlines()) == len(names)


@pytest.mark.parametrize(("options", "code"), [(["--prefix", "a"], 2), ([], 1)])
def test_names_that_cannot_be_are_refused(options: list[str], code: int, tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_bytes(b"\xff\n")
    assert CliRunner().invoke(checksum, ["list", "c", "--names", str(file), *options]).exit_code == code
