"""What Envoy alone bounds, with the product's configuration: behind it is a server without any defence of ours.

Each limit is a setting of the gateway. The positive control of each is the same attack with the limit taken away.
"""

import contextlib
import functools
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import controls
import edge_proxy
import http2
import pytest
from heads import CHUNKED, HOST, get, length, post
from wire import Heard, connect, hear, say

from gateway.envoy import limits as envoy_limits
from tests.machine import scaled, wait_until

# Seconds; short, so that a test does not wait.
HEAD, BODY, IDLE, GRACE = 1.0, 2.0, 2, 1.0
QUICK = {
    "head_timeout_seconds": scaled(HEAD),
    "function_timeout_seconds": scaled(BODY),
    "response_timeout_seconds": scaled(BODY),
    "keep_alive_seconds": int(scaled(IDLE)),
    "transfer_window_seconds": scaled(HEAD),
}
# Of a test that waits for another limit.
LONG = dict.fromkeys(QUICK, 600)
LARGE = b"GET /v1/large HTTP/1.1\r\n"
# More than the buffers of the kernel hold.
LARGE_BYTES = 64 << 20
MIB = 1 << 20


@dataclass
class Server:
    """An application without a defence, and what it has seen.

    Attributes:
        started: requests that reached it.
        running: those that it has not answered; `/v1/never` is answered when its caller has gone.
    """

    port: int = 0
    started: int = 0
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        self.started += 1
        self.running += 1
        try:
            if scope["path"] == "/v1/never":
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            if scope["path"] == "/v1/large":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(LARGE_BYTES >> 16):
                    await send({"type": "http.response.body", "body": b"x" * (1 << 16), "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return
            await controls.echo(scope, receive, send)
        finally:
            self.running -= 1


@pytest.fixture(scope="module")
def server():
    made = Server()
    with controls.serving(made) as port:
        made.port = port
        yield made


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("envoy")


@pytest.fixture
def front(server, state, monkeypatch):
    """Starts an Envoy before the server, with these settings of the gateway."""
    monkeypatch.setattr(envoy_limits, "_GRACE_SECONDS", scaled(GRACE))
    with contextlib.ExitStack() as stack:

        def start(*, manager=None, runtime=None, **settings):
            config = functools.partial(edge_proxy.product_config, **{**QUICK, **settings})
            made = edge_proxy.untapped(server.port, state, config=config, manager=manager, runtime=runtime)
            return stack.enter_context(made)

        yield start


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


SLOW_HEADS = {
    "half-a-line": b"GET / HT",
    "half-a-head": b"GET / HTTP/1.1\r\nHost: fa",
    "head-without-its-end": b"GET / HTTP/1.1\r\n" + HOST,
}
SLOW_BODIES = {
    "no-body": length(b" 100", b""),
    "half-a-body": length(b" 100"),
    "half-a-chunk": post(CHUNKED, b"5\r\nhe"),
    "no-last-chunk": post(CHUNKED, b"5\r\nhello\r\n"),
}
# The parts of the configuration that bound them.
UNBOUNDED = {
    "request_headers_timeout": "0s",
    "request_timeout": "0s",
    "stream_idle_timeout": "0s",
    "common_http_protocol_options": {"idle_timeout": "0s"},
}


def at_once(attacks: dict[str, Callable[[], tuple[Heard, float]]]) -> tuple[dict[str, Heard], dict[str, float]]:
    """What each of the attacks heard, and the seconds that it took; all of them run at the same time."""
    with ThreadPoolExecutor(len(attacks)) as pool:
        running = {name: pool.submit(attack) for name, attack in attacks.items()}
        done = {name: each.result() for name, each in running.items()}
    return {name: heard for name, (heard, _) in done.items()}, {name: seconds for name, (_, seconds) in done.items()}


def stalled(port: int, request: bytes, seconds: float = 60) -> tuple[Heard, float]:
    """Sends the beginning of a request, and nothing more."""
    heard = say(port, request, seconds=seconds)
    return heard, heard.seconds


def drip(port: int, opening: bytes, rest: bytes) -> tuple[Heard, float]:
    """Sends the rest of a request byte by byte: each comes in good time, the whole does not."""
    begun = time.monotonic()
    with connect(port) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(opening)
            for byte in rest:
                sock.sendall(bytes([byte]))
                time.sleep(0.2)
        return hear(sock, seconds=60), time.monotonic() - begun


def test_slow_heads_end_in_time(front, server, record_testsuite_property):
    envoy, before = front(), server.started
    attacks = {name: functools.partial(stalled, envoy.port, head) for name, head in SLOW_HEADS.items()}
    whole = get(b"X: " + b"a" * 1_000 + b"\r\n")
    heard, seconds = at_once({**attacks, "byte-by-byte": functools.partial(drip, envoy.port, b"", whole)})
    record_testsuite_property("slow heads, seconds", {name: round(each, 1) for name, each in seconds.items()})
    assert all(each.closed for each in heard.values()), heard
    assert all(heard[name].statuses == [408] for name in SLOW_HEADS), heard
    assert min(seconds.values()) > HEAD / 2
    assert server.started == before  # none reaches a gateway


def test_slow_bodies_end_in_time(front, server, record_testsuite_property):
    envoy = front()
    attacks = {name: functools.partial(stalled, envoy.port, request) for name, request in SLOW_BODIES.items()}
    slow = functools.partial(drip, envoy.port, length(b" 1000", b""), b"x" * 1_000)
    heard, seconds = at_once({**attacks, "byte-by-byte": slow})
    record_testsuite_property("slow bodies, seconds", {name: round(each, 1) for name, each in seconds.items()})
    assert all(each.closed for each in heard.values()), heard
    assert all(heard[name].statuses == [408] for name in SLOW_BODIES), heard
    assert min(seconds.values()) > BODY / 2
    wait_until(lambda: server.running == 0, what="the end of the requests behind Envoy")


def test_connection_without_a_request_ends_in_time(front):
    heard = say(front().port, b"", seconds=60)
    assert (heard.closed, heard.statuses) == (True, [])


def test_without_the_limits_all_these_connections_stay(front):
    envoy = front(manager=UNBOUNDED)
    requests = {"nothing": b"", **SLOW_HEADS, **SLOW_BODIES}
    attacks = {name: functools.partial(stalled, envoy.port, each, IDLE + 2) for name, each in requests.items()}
    heard, _ = at_once(attacks)
    assert not any(each.closed for each in heard.values()), heard


def test_slow_readers_cost_a_bounded_time_and_memory(front, server, record_testsuite_property):
    """Each asks for 64 MiB and reads nothing; what Envoy keeps of it is limited, and so is the time."""
    envoy, count = front(), 20
    before = resident_bytes(envoy.pid)
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        readers = [stack.enter_context(connect(envoy.port, receive_buffer=4_096)) for _ in range(count)]
        for sock in readers:
            sock.sendall(get(line=LARGE))
        wait_until(lambda: server.running == count, what="the requests behind Envoy")
        each = (resident_bytes(envoy.pid) - before) / count
        wait_until(lambda: server.running == 0, what="the end of the requests behind Envoy")
        seconds = time.monotonic() - begun
        answers = [hear(sock, seconds=30) for sock in readers]
    record_testsuite_property("a slow reader at Envoy", f"{each / 1024:.0f} KiB, {seconds:.1f} s")
    assert each < MIB
    assert all(heard.closed and len(heard.data) < LARGE_BYTES for heard in answers)


def test_without_the_limit_a_slow_reader_stays(front, server):
    unbounded = {"stream_idle_timeout": "0s", "common_http_protocol_options": {}}
    envoy = front(manager=unbounded)
    with connect(envoy.port, receive_buffer=4_096) as sock:
        sock.sendall(get(line=LARGE))
        wait_until(lambda: server.running, what="the request behind Envoy")
        time.sleep(scaled(BODY + GRACE + 1))
        assert server.running == 1
    wait_until(lambda: server.running == 0, what="the end of the request behind Envoy")


def test_flood_of_connections_is_cut_off_and_reaches_no_gateway(front, server, record_testsuite_property):
    """Those above the limit end at once, the idle ones soon after; then everybody is served again."""
    envoy, limit, flood = front(max_connections=50), 50, 200
    before = server.started
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(envoy.port)) for _ in range(flood)]

        def ended() -> int:
            return sum(hear(sock, seconds=0.001).closed for sock in sockets)

        wait_until(lambda: ended() >= flood - limit, what="the end of those above the limit")
        begun = time.monotonic()
        wait_until(lambda: say(envoy.port, get(), answers=1).statuses == [200], what="an answer to another caller")
        seconds = time.monotonic() - begun
    record_testsuite_property(
        "flood of connections", f"{flood - limit} of {flood} cut off, served after {seconds:.1f} s"
    )
    assert server.started == before + 1


def test_without_the_limit_all_connections_stay(front):
    envoy = front(max_connections=10_000)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(envoy.port)) for _ in range(200)]
        assert say(envoy.port, get(), answers=1).statuses == [200]
        assert not any(hear(sock, seconds=0.001).closed for sock in sockets)


def test_callers_who_reset_their_connections_leave_nothing_running(front, server):
    """A request each, which is never answered; the end of the connection reaches the gateway."""
    envoy, before = front(**LONG), server.started
    for _ in range(300):
        with connect(envoy.port) as sock:
            sock.sendall(get(line=b"GET /v1/never HTTP/1.1\r\n"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert say(envoy.port, get(), answers=1).statuses == [200]
    wait_until(lambda: server.running == 0, what="the end of the requests behind Envoy")
    assert server.started <= before + 301


# Above 1,000, Envoy's HTTP/2 library ends the connection by itself.
RAPID = 900


def rapid_reset(port: int) -> http2.Heard:
    """CVE-2023-44487: requests that are cancelled at once, as fast as they can be sent; then one that is not."""
    path = http2.pseudo(path=b"/v1/never")
    resets = b"".join(http2.request(each, path) + http2.reset(each) for each in range(1, 2 * RAPID, 2))
    return http2.say(port, resets + http2.request(2 * RAPID + 1, http2.pseudo()), answers=1, seconds=20)


def test_rapid_reset_ends_the_connection(front, server, record_testsuite_property):
    envoy, before = front(**LONG), server.started
    heard = rapid_reset(envoy.port)
    reached = server.started - before
    record_testsuite_property("rapid reset", f"{reached} of {RAPID} requests reached a gateway")
    assert heard.closed
    assert reached <= 100
    wait_until(lambda: server.running == 0, what="the end of the requests behind Envoy")
    assert say(envoy.port, get(), answers=1).statuses == [200]


def test_without_the_limit_rapid_reset_goes_on(front):
    runtime = {"overload.premature_reset_total_stream_count": 1 << 30}
    heard = rapid_reset(front(runtime=runtime, **LONG).port)
    assert heard.statuses == {2 * RAPID + 1: 200}


def test_streams_of_a_connection_are_limited(front, server):
    """Those above the limit are refused, and reach no gateway."""
    envoy, before = front(**LONG), server.started
    with http2.connection(envoy.port) as sock:
        sock.sendall(b"".join(http2.request(each, http2.pseudo(path=b"/v1/never")) for each in range(1, 601, 2)))
        heard = http2.hear(sock, answers=200, seconds=10)
        refused = [payload for _, payload in heard.of(http2.RST_STREAM)]
        assert server.started - before <= 100
    assert heard.closed or refused == [struct.pack(">I", 7)] * 200
    wait_until(lambda: server.running == 0, what="the end of the requests behind Envoy")


OPEN = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.block(http2.pseudo(b"POST", b"/v1/never")))
UNFINISHED = http2.frame(http2.HEADERS, 0, 1, http2.block(http2.pseudo()))
# What opens the attack, and the frame that is then repeated.
FLOODS = {
    "ping": (b"", http2.frame(http2.PING, 0, 0, bytes(8))),
    "settings": (b"", http2.frame(http2.SETTINGS)),
    "empty-data": (OPEN, http2.frame(http2.DATA, 0, 1)),
    "priority": (OPEN, http2.frame(http2.PRIORITY, 0, 1, struct.pack(">IB", 3, 1))),
    "window-update": (OPEN, http2.frame(http2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))),
    "continuation": (UNFINISHED, http2.frame(http2.CONTINUATION, 0, 1, http2.block([(b"x", b"y" * 1_000)]))),
    "empty-continuation": (UNFINISHED, http2.frame(http2.CONTINUATION, 0, 1)),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_frames_ends_the_connection(front, kind):
    """200,000 times the frame, by a caller who reads nothing."""
    envoy = front(**LONG)
    opening, repeated = FLOODS[kind]
    before = resident_bytes(envoy.pid)
    with http2.connection(envoy.port, receive_buffer=4_096) as sock:
        sock.settimeout(scaled(20))
        with contextlib.suppress(OSError):
            sock.sendall(opening)
            for _ in range(200):
                sock.sendall(repeated * 1_000)
        heard = http2.hear(sock, seconds=20)
    assert heard.closed, heard
    assert resident_bytes(envoy.pid) - before < 32 * MIB
    assert say(envoy.port, get(), answers=1).statuses == [200]
