"""Logins are limited for each address, and a client cannot choose the address that it is counted for."""

import pytest

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


retry_after: list[int | None] = []


async def counted(limiter: LoginLimiter, given: dict) -> str | None:
    """The error code of a login."""

    async def app(inner, _receive, _send) -> None:
        limiter.count(inner)

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
            limiter.count(scope("192.0.2.1"), project)
        except GatewayError:
            spent.append(project)
    assert spent == ["a", ""]
