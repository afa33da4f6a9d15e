"""A client that knows what an object should be asserts it with RFC 9530's field, in its own command."""

import base64
from collections.abc import Callable

import pytest
from programs import Outcome, run

WRONG = base64.b64encode(b"\x0b\xad\xc0\xde").decode()


def curl(url: str, field: str, token: str) -> Outcome:
    return run(
        "curl", "--disable", "--fail", "--silent", "--show-error", "-H", f"X-Auth-Token: {token}", "-H", field, url
    )


def davix(url: str, field: str, token: str) -> Outcome:
    return run("davix-get", "-H", f"X-Auth-Token: {token}", "-H", field, url)


def gfal_sum(url: str, field: str, token: str) -> Outcome:
    header = f"HTTP PLUGIN:HEADERS={field}"
    return run("/usr/bin/python3", "/usr/bin/gfal-sum", "-D", header, url, "ADLER32", token=token)


Ask = Callable[[str, str, str], Outcome]


def field(value: str) -> str:
    return f"Repr-Digest: adler=:{value}:"


@pytest.mark.parametrize("ask", [curl, davix, gfal_sum])
def test_a_wrong_assertion_is_the_clients_own_error(url: str, samples, alice: str, ask: Ask) -> None:
    outcome = ask(f"{url}/zeros", field(WRONG), alice)
    assert outcome.status != 0
    assert "412" in outcome.err or "another digest" in outcome.err, outcome


@pytest.mark.parametrize("ask", [curl, davix, gfal_sum])
def test_a_right_assertion_succeeds(url: str, samples, alice: str, ask: Ask) -> None:
    right = base64.b64encode(bytes.fromhex(samples["zeros"].digests["adler32"])).decode()
    outcome = ask(f"{url}/zeros", field(right), alice)
    assert outcome.status == 0, outcome
    if ask is gfal_sum:
        assert outcome.value == samples["zeros"].digests["adler32"]
