"""Family 7, slow and large: no connection is held by a caller who sends or takes next to nothing."""

import contextlib
import time

import controls
import pytest
from heads import CHUNKED, HOST, get, length, post
from wire import connect, hear, say

from tests.machine import scaled

QUICK = {"head_timeout_seconds": scaled(1), "transfer_window_seconds": scaled(1)}


@pytest.fixture(scope="module")
def quick_port():
    """A strict server that is impatient, so that a test does not wait."""
    with controls.strict(**QUICK) as port:
        yield port


LARGE = {
    "ten-thousand-fields": (get(*[b"X-%d: y\r\n" % number for number in range(10_000)]), 431),
    "hundred-and-one-fields": (get(*[b"X-%d: y\r\n" % number for number in range(100)]), 431),
    "mebibyte-value": (get(b"X-Big: " + b"a" * (1 << 20) + b"\r\n"), 431),
    "mebibyte-name": (get(b"X" * (1 << 20) + b": y\r\n"), 431),
    "field-just-too-long": (get(b"X-Big: " + b"a" * 16_384 + b"\r\n"), 431),
    "mebibyte-path": (get(line=b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n"), 414),
    "path-just-too-long": (get(line=b"GET /v1/" + b"a" * 8_192 + b" HTTP/1.1\r\n"), 414),
    "mebibyte-query": (get(line=b"GET /?" + b"a" * (1 << 20) + b" HTTP/1.1\r\n"), 414),
    "mebibyte-method": (get(line=b"A" * (1 << 20) + b" / HTTP/1.1\r\n"), 400),
    "mebibyte-without-a-line-end": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (1 << 20), 431),
}


@pytest.mark.parametrize("name", LARGE)
def test_head_that_is_too_large_is_refused(gateway, front, name):
    """A client that goes on sending may lose the answer, never the end. Envoy says 431 to the largest of them."""
    request, status = LARGE[name]
    if front == "envoy":
        heard = say(gateway.port, request, answers=1)
        assert heard.statuses in ([status], [431]) or (heard.closed and not heard.statuses)
    else:
        heard = say(gateway.port, request)
        assert heard.closed
        assert heard.statuses in ([status], [])


@pytest.mark.parametrize("name", ["ten-thousand-fields", "hundred-and-one-fields", "field-just-too-long"])
def test_without_the_defence_it_is_answered(name):
    with controls.serving(controls.echo) as port:
        assert say(port, LARGE[name][0], answers=1).statuses == [200]


STALLED = {
    "nothing": b"",
    "half-a-line": b"GET / HT",
    "half-a-head": b"GET / HTTP/1.1\r\nHost: fa",
    "head-without-its-end": b"GET / HTTP/1.1\r\n" + HOST,
    "line-end-alone": b"\r",
    "no-body": length(b" 100", b""),
    "half-a-body": length(b" 100"),
    "no-chunk": post(CHUNKED, b""),
    "half-a-chunk": post(CHUNKED, b"5\r\nhe"),
    "no-last-chunk": post(CHUNKED, b"5\r\nhello\r\n"),
    "trailers-without-end": post(CHUNKED, b"0\r\nX-A: b\r\n"),
}


@pytest.mark.parametrize("name", STALLED)
def test_request_that_stops_arriving_ends_the_connection(quick_port, name):
    heard = say(quick_port, STALLED[name], seconds=15)
    assert heard.closed, heard
    assert heard.statuses in ([], [408])


@pytest.mark.parametrize("name", ["nothing", "half-a-head", "half-a-body", "no-last-chunk"])
def test_without_the_defence_the_connection_stays(name):
    with controls.serving(controls.echo) as port:
        assert not say(port, STALLED[name], seconds=4).closed


def test_byte_by_byte_is_no_way_to_hold_a_connection(quick_port):
    """Each byte comes in good time; the head as a whole does not."""
    begun = time.monotonic()
    with connect(quick_port) as sock, contextlib.suppress(OSError):
        for byte in get(b"X: " + b"a" * 200 + b"\r\n"):
            sock.sendall(bytes([byte]))
            time.sleep(0.2)
    assert time.monotonic() - begun < scaled(25)


def test_answer_that_is_not_taken_is_given_up(quick_port):
    with connect(quick_port, receive_buffer=4096) as sock:
        sock.sendall(get(line=b"GET /large HTTP/1.1\r\n"))
        time.sleep(scaled(6))
        heard = hear(sock, seconds=10)
    assert heard.closed
    assert len(heard.data) < 8 << 20


def test_answer_that_is_taken_slowly_but_steadily_arrives(quick_port):
    with connect(quick_port, receive_buffer=65_536) as sock:
        sock.sendall(get(b"Connection: close\r\n", line=b"GET /large HTTP/1.1\r\n"))
        taken = 0
        while piece := sock.recv(131_072):
            taken += len(piece)
            time.sleep(0.02)
    assert taken > 8 << 20


def test_more_connections_than_there_may_be_cost_the_idle_ones():
    with controls.strict(max_connections=5) as port, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(8)]
        time.sleep(0.5)  # all of them are accepted
        assert say(port, get(), answers=1).statuses == [200]
        assert sum(hear(sock, seconds=0.3).closed for sock in idle) == 4  # 8 and that one, of which 5 may be


def test_one_address_has_no_more_connections_than_it_may():
    with controls.strict(client_max_connections=3) as port, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(port)) for _ in range(3)]
        assert say(port, get(), seconds=2).closed
        held[0].sendall(get())
        assert hear(held[0], answers=1).statuses == [200]
