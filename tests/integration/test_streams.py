"""Server-sent events through the gateway, and the end of streams whose caller may not read them any more."""

import contextlib
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from echo import echo
from streams import QUICK, gateway_before, logged, write_tenant

from tests.machine import scaled, wait_until

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(number: int) -> bytes:
    text = b"id: %d\ndata: {}\n\n" % number
    return b"%x\r\n%b\r\n" % (len(text), text)


@pytest.fixture(scope="module")
def backend():
    with echo() as made:
        yield made


@pytest.fixture(scope="module")
def quick(start_gateway, cloud, backend):
    """A gateway that looks often whether a stream may go on."""
    with gateway_before(start_gateway, cloud, backend.url, **QUICK) as gateway:
        yield gateway


@pytest.fixture
def token(cloud):
    return cloud.token("alice")


@contextlib.contextmanager
def stream(gateway, token: str):
    url = f"{gateway.url}/v1/invoke/echo/events"
    fields = {"X-Auth-Token": token, "Accept": "text/event-stream"}
    with httpx.stream("GET", url, headers=fields, timeout=scaled(60)) as response:
        assert response.status_code == 200
        yield response


def test_each_event_arrives_before_the_next_is_sent(quick, backend, token):
    """The function sends one when the caller has the one before: a buffer anywhere would end in a timeout."""
    arrived = socket.socketpair()

    def events(connection, _seen):
        connection.sendall(EVENTS)
        for number in range(20):
            connection.sendall(event(number))
            assert arrived[0].recv(1) == b"!"
        connection.sendall(b"0\r\n\r\n")

    arrived[0].settimeout(scaled(30))
    backend.answer = events
    with stream(quick, token) as response:
        assert response.headers["content-type"] == "text/event-stream"
        seen = []
        for line in response.iter_lines():
            if line.startswith("id: "):
                seen.append(int(line.removeprefix("id: ")))
            elif not line:
                arrived[1].sendall(b"!")
    assert seen == list(range(20))


def endless(connection, _seen):
    connection.settimeout(scaled(60))
    connection.sendall(EVENTS)
    number = 0
    while True:
        connection.sendall(event(number))
        number += 1
        time.sleep(0.02)


def assert_broken_off(lines: Iterator[str]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        for _ in lines:
            pass


def test_revoked_token_ends_a_stream_and_new_calls(quick, backend, cloud, token):
    backend.answer, closed = endless, backend.closed
    with stream(quick, token) as response:
        lines = response.iter_lines()
        assert next(lines) == "id: 0"
        cloud.revoke(token)
        revoked = time.monotonic()
        assert_broken_off(lines)
        assert time.monotonic() - revoked < scaled(10)
        request_id = response.headers["x-openstack-request-id"]
    line = logged(quick, request_id)
    assert (line["status"], line["error"], line["outcome"]) == (200, "token.invalid", "refused")
    wait_until(lambda: backend.closed > closed)
    assert quick.get("/v1/invoke/echo/", token).status_code == 401


def test_suspended_tenant_ends_its_streams(quick, backend, cloud, token):
    backend.answer = endless
    try:
        with stream(quick, token) as response:
            lines = response.iter_lines()
            assert next(lines) == "id: 0"
            write_tenant(quick, cloud, backend.url, suspended="unpaid")
            assert_broken_off(lines)
    finally:
        write_tenant(quick, cloud, backend.url)
    line = logged(quick, response.headers["x-openstack-request-id"])
    assert (line["error"], line["outcome"]) == ("tenant.suspended", "refused")


def test_stream_whose_caller_may_read_it_goes_on(quick, backend, token):
    """Through several checks, each of which asks Keystone."""
    backend.answer = endless
    before = quick.metric("osfaas_token_validations_total", source="keystone", result="accepted")
    with stream(quick, token) as response:
        for _ in response.iter_raw():
            if quick.metric("osfaas_token_validations_total", source="keystone", result="accepted") > before + 3:
                break


def test_silent_stream_is_ended_after_the_idle_timeout(start_gateway, cloud, token):
    def silent(connection, _seen):
        connection.sendall(EVENTS + event(0))
        connection.settimeout(scaled(60))
        connection.recv(1)

    with (
        echo(silent) as backend,
        gateway_before(start_gateway, cloud, backend.url, OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS="1") as gateway,
        stream(gateway, token) as response,
    ):
        assert_broken_off(response.iter_lines())
        assert logged(gateway, response.headers["x-openstack-request-id"])["outcome"] == "function"
