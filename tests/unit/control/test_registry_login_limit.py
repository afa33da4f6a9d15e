"""Logins are limited for each address, and a client cannot choose the address that it is counted for."""

import pytest

from control.registry.login import BasicLogin
from control.registry.login_limit import MAX_CLIENTS, ClientAddresses, LoginLimiter, client_of
from gateway.errors import ErrorCode, GatewayError


def scope(peer: str | None, *forwarded: str) -> dict:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": None if peer is None else (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("given", "trusted", "client"),
    [
        (scope("192.0.2.1", "198.51.100.7"), 0, "192.0.2.1"),
        (scope("192.0.2.1", "198.51.100.7"), 1, "198.51.100.7"),
        (scope("192.0.2.1", "10.9.9.9, 198.51.100.7"), 1, "198.51.100.7"),
        (scope("192.0.2.1", "10.9.9.9", "198.51.100.7"), 1, "198.51.100.7"),
        (scope("192.0.2.1", "10.9.9.9, 198.51.100.7, 203.0.113.5"), 2, "198.51.100.7"),
        (scope("192.0.2.1"), 1, "192.0.2.1"),
        (scope("192.0.2.1", "nonsense"), 1, "192.0.2.1"),
        (scope("2001:db8::1:2:3:4"), 0, "2001:db8::/64"),
        (scope("::ffff:192.0.2.1"), 0, "192.0.2.1"),
        (scope(None), 0, "unknown"),
    ],
)
def test_a_client_is_the_address_that_a_trusted_proxy_or_the_connection_says(given, trusted, client) -> None:
    assert client_of(given, trusted_proxies=trusted) == client


GUESS = BasicLogin("0" * 32, "guess")
retry_after: list[int | None] = []


async def counted(limiter: LoginLimiter, given: dict) -> str | None:
    """The error code of a login."""

    async def app(inner, _receive, _send) -> None:
        limiter.count(inner, GUESS)

    try:
        await ClientAddresses(app, trusted_proxies=0)(given, None, None)
    except GatewayError as error:
        retry_after.append(error.retry_after_seconds)
        return error.kind.code
    return None


async def test_one_address_runs_out_and_another_does_not() -> None:
    now = 0.0
    limiter = LoginLimiter(3, clock=lambda: now)
    assert [await counted(limiter, scope("192.0.2.1")) for _ in range(4)] == [None] * 3 + [
        ErrorCode.REGISTRY_LOGINS_EXCEEDED.code
    ]
    assert await counted(limiter, scope("192.0.2.2")) is None
    assert retry_after == [20]
    now = 20.0
    assert [await counted(limiter, scope("192.0.2.1")) for _ in range(2)] == [None, "registry.logins_exceeded"]


async def test_many_addresses_take_bounded_memory() -> None:
    limiter = LoginLimiter(3)
    for number in range(MAX_CLIENTS + 50):
        await counted(limiter, scope(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(limiter._levels) == MAX_CLIENTS


async def test_projects_of_one_address_have_a_limit_each() -> None:
    limiter, spent = LoginLimiter(1), []
    for project in ("", "a", "a", "b", ""):
        try:
            limiter.count(scope("192.0.2.1"), GUESS, project)
        except GatewayError:
            spent.append(project)
    assert spent == ["a", ""]


def login(limiter: LoginLimiter, token: str, project: str) -> str:
    """What becomes of a login with a valid token of a project: all of them come from one address."""
    given = BasicLogin("token", token)
    try:
        counted = limiter.count(scope("192.0.2.1"), given)
    except GatewayError:
        return "refused"
    try:
        limiter.accepted(scope("192.0.2.1"), given, project, counted=counted)
    except GatewayError:
        return "refused after Keystone"
    return "accepted"


def test_a_project_that_logs_in_too_often_with_its_token_keeps_no_other_from_it() -> None:
    """And a guesser at the address cannot use up what a project has."""
    limiter = LoginLimiter(3, clock=lambda: 0.0)
    assert [login(limiter, "t", "a") for _ in range(9)] == ["accepted"] * 3 + ["refused"] * 6
    assert login(limiter, "u", "b") == "accepted"
    for _ in range(3):
        limiter.count(scope("192.0.2.1"), GUESS)
    assert login(limiter, "u", "b") == "accepted"
    # A login that is not known yet may be a guess.
    assert login(limiter, "new", "b") == "refused"


def test_a_project_with_many_credentials_costs_keystone_no_more_than_a_guesser() -> None:
    limiter = LoginLimiter(3, clock=lambda: 0.0)
    assert [login(limiter, f"t-{number}", "a") for number in range(9)] == [
        *["accepted"] * 3,
        *["refused after Keystone"] * 3,
        *["refused"] * 3,
    ]


def test_logins_of_one_new_token_at_once_count_for_its_project() -> None:
    """Each is counted before Keystone has said whose it is."""
    limiter, token = LoginLimiter(3, clock=lambda: 0.0), BasicLogin("token", "t")
    counted = [limiter.count(scope("192.0.2.1"), token) for _ in range(2)]
    for each in counted:
        limiter.accepted(scope("192.0.2.1"), token, "a", counted=each)
    assert [login(limiter, "t", "a") for _ in range(2)] == ["accepted", "refused"]
    for _ in range(3):
        limiter.count(scope("192.0.2.1"), GUESS)


def test_a_login_that_is_accepted_again_and_again_is_kept_once() -> None:
    limiter = LoginLimiter(3, clock=lambda: 0.0)
    for _ in range(3):
        login(limiter, "t", "a")
    assert len(limiter._projects) == 1


def test_many_logins_take_bounded_memory() -> None:
    limiter = LoginLimiter(MAX_CLIENTS * 2)
    for number in range(MAX_CLIENTS + 50):
        assert login(limiter, f"t-{number}", "a") == "accepted"
    assert len(limiter._projects) == MAX_CLIENTS
    # What is kept of a login is its digest.
    assert {len(key) for key in limiter._projects} == {32}
