"""Family 2, WebSockets: a tunnel is opened only by both sides, leads to one function only, and holds no memory.

The handshake and what follows it go out byte for byte; the function is one whose answer a test writes.
"""

import contextlib
import re
import socket
import struct
import threading
import time
from pathlib import Path

import edge_proxy
import istio_proxy
import pytest
import yaml
from echo import echo
from faulty import code, made_faulty
from heads import HOST
from wire import connect, hear

from gateway.http.websocket import accept_of
from tests.machine import scaled, wait_until

PATH = b"/v1/invoke/echo/"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"Sec-WebSocket-Accept: %b\r\n" % accept_of(KEY)
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
FIELDS = UPGRADE + b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n" % KEY
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + ACCEPT + b"\r\n"
POISON = b"GET /healthcheck HTTP/1.1\r\n" + HOST + b"\r\n"
MIB = 1 << 20


def handshake(token: str, fields: bytes = FIELDS, path: bytes = PATH) -> bytes:
    return b"GET %b HTTP/1.1\r\n%bX-Auth-Token: %b\r\n%b\r\n" % (path, HOST, token.encode(), fields)


def port_of(faulty) -> int:
    return faulty.gateway.service.port


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side ends."""
    data = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65_536):
            data += piece
    return data


def switching(then=read_all, *, reply: bytes = SWITCH):
    """Accepts the handshake; then `then` has the connection. What it returns is kept."""
    kept: list[object] = []

    def answer(connection: socket.socket, _seen) -> None:
        connection.settimeout(scaled(30))
        connection.sendall(reply)
        kept.append(then(connection))
        connection.close()
        raise OSError

    answer.kept = kept
    return answer


@contextlib.contextmanager
def opened(faulty, token: str, **options):
    """A connection of a caller's whose handshake was accepted, and what came behind the head."""
    with connect(port_of(faulty), **options) as sock:
        sock.sendall(handshake(token))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = sock.recv(4_096)
            assert piece, head
            head += piece
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield sock, head.partition(b"\r\n\r\n")[2]


# --- who opens a tunnel

NOT_ACCEPTED = {
    "no accept": SWITCH.replace(ACCEPT, b""),
    "wrong accept": SWITCH.replace(accept_of(KEY), accept_of(b"AAAAAAAAAAAAAAAAAAAAAA==")),
    "two accepts": SWITCH.replace(ACCEPT, ACCEPT + ACCEPT),
    "another protocol": SWITCH.replace(b"websocket", b"h2c"),
    "no protocol": SWITCH.replace(b"Upgrade: websocket\r\n", b""),
    "no Connection": SWITCH.replace(b"Connection: Upgrade\r\n", b""),
    "a length": SWITCH.replace(ACCEPT, ACCEPT + b"Content-Length: 5\r\n"),
    "chunks": SWITCH.replace(ACCEPT, ACCEPT + b"Transfer-Encoding: chunked\r\n"),
    "HTTP/1.0": SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "102": SWITCH.replace(b"101 Switching Protocols", b"102 Processing"),
}


@pytest.mark.parametrize("reply", NOT_ACCEPTED.values(), ids=NOT_ACCEPTED)
def test_reply_that_does_not_accept_the_handshake_opens_nothing(faulty, reply):
    """What the caller has sent behind it reaches nobody."""
    faulty.invoked.answer = answer = switching(reply=reply)
    with connect(port_of(faulty)) as sock:
        sock.sendall(handshake(faulty.fresh()) + POISON)
        heard = hear(sock, seconds=30)
    assert heard.closed
    assert heard.statuses in ([502], [503], [504])
    assert b"101" not in heard.data.split(b"\r\n")[0]
    wait_until(lambda: answer.kept)
    assert answer.kept == [b""]


def test_switch_that_nobody_asked_for_opens_nothing(faulty):
    """Also if the request has all of a handshake but Upgrade."""
    faulty.invoked.answer = answer = switching()
    fields = FIELDS.replace(b"Upgrade: websocket\r\n", b"")
    with connect(port_of(faulty)) as sock:
        sock.sendall(handshake(faulty.fresh(), fields))
        assert hear(sock, answers=1, seconds=30).statuses == [502]
    wait_until(lambda: answer.kept)
    assert answer.kept == [b""]


REFUSED = {
    "version 8": handshake("t", FIELDS.replace(b": 13", b": 8")),
    "no key": handshake("t", UPGRADE + b"Sec-WebSocket-Version: 13\r\n"),
    "a bad key": handshake("t", FIELDS.replace(b"ZQ==", b"ZR==")),
    "two keys": handshake("t", FIELDS + b"Sec-WebSocket-Key: %b\r\n" % KEY),
    "h2c beside it": handshake("t", FIELDS.replace(b": websocket", b": h2c, websocket")),
    "two Upgrades": handshake("t", FIELDS + b"Upgrade: websocket\r\n"),
    "no Connection": handshake("t", FIELDS.replace(b"Connection: Upgrade\r\n", b"")),
    "POST": handshake("t").replace(b"GET", b"POST"),
    "HTTP/1.0": handshake("t").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a body": handshake("t", FIELDS + b"Content-Length: 5\r\n") + b"hello",
    "another route": handshake("t", path=b"/v1/limits"),
    "no route": handshake("t", path=b"/v2/invoke/echo/"),
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED)
def test_request_that_is_no_handshake_is_refused_before_its_token_is_read(faulty, request_bytes):
    seen = len(faulty.invoked.seen)
    with connect(port_of(faulty)) as sock:
        sock.sendall(request_bytes + POISON)
        heard = hear(sock, seconds=10)
    assert heard.refused, heard
    assert len(faulty.invoked.seen) == seen


# --- where a tunnel leads


def test_no_byte_is_lost_around_the_switch(faulty):
    """The caller sends before it has the answer; the function sends with it."""
    early, surplus = b"\x81\x85early" + POISON, b"\x82\x04\x00\xff" + SWITCH
    faulty.invoked.answer = answer = switching(reply=SWITCH + surplus)
    with connect(port_of(faulty)) as sock:
        sock.sendall(handshake(faulty.fresh()) + early)
        data = b""
        while not data.partition(b"\r\n\r\n")[2].endswith(surplus):
            piece = sock.recv(65_536)
            assert piece, data
            data += piece
        sock.shutdown(socket.SHUT_WR)
        data += read_all(sock)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == surplus
    wait_until(lambda: answer.kept)
    assert answer.kept == [early]


def test_early_bytes_of_a_handshake_that_is_refused_are_no_request(faulty):
    """They may be meant for the WebSocket: what a page can choose of them must not be read as a request of its user."""
    faulty.invoked.answer = lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
    with connect(port_of(faulty)) as sock:
        sock.sendall(handshake(faulty.fresh()) + POISON)
        heard = hear(sock, seconds=20)
    assert (heard.statuses, heard.closed) == ([200], True)
    with connect(port_of(faulty)) as sock:
        # The positive control: behind another request it is answered.
        sock.sendall(handshake(faulty.fresh(), b"") + POISON)
        assert hear(sock, answers=2, seconds=20).statuses == [200, 200]


def test_request_in_a_tunnel_reaches_only_its_function(faulty):
    """Neither the gateway nor the front of another tenant's function reads one, before and after the function's end."""
    token = faulty.fresh()
    smuggled = b"GET /v1/limits HTTP/1.1\r\n%bX-Auth-Token: %b\r\n\r\n" % (HOST, token.encode())

    def then(connection: socket.socket) -> bytes:
        data = b""
        while len(data) < 2 * len(smuggled):
            data += connection.recv(65_536)
        return data

    faulty.invoked.answer = answer = switching(then)
    with opened(faulty, token) as (sock, rest):
        sock.sendall(smuggled + smuggled)
        wait_until(lambda: answer.kept)
        with contextlib.suppress(OSError):
            sock.sendall(smuggled)
        came = rest + read_all(sock)
    assert answer.kept == [smuggled + smuggled]
    assert came == b""


def test_connection_of_a_tunnel_is_not_used_for_another_call(faulty):
    """Two tenants' functions are behind one address, as behind an ingress; one has left an answer in its connection."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

    def answer(connection: socket.socket, seen) -> None:
        if seen.all("upgrade"):
            connection.sendall(SWITCH)
            assert connection.recv(1) == b"x"
            connection.sendall(forged)
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")

    with echo(answer) as ingress:
        before = faulty.gateway.tenants.read_text()
        document = yaml.safe_load(before)
        for number, tenant in enumerate(document["tenants"]):
            address = {"url": ingress.url, "host": f"echo.tenant-{number}.test", "callable": True}
            tenant["functions"]["echo"] = address
        faulty.gateway.tenants.write_text(yaml.safe_dump(document))
        time.sleep(1.1)
        try:
            for _ in range(5):
                with opened(faulty, faulty.fresh()) as (sock, _):
                    sock.sendall(b"x")
                    assert sock.recv(4_096).startswith(b"HTTP/1.1 200 OK")
                    bobs = faulty.get("/v1/invoke/echo/", faulty.fresh("bob"))
                    assert (bobs.status_code, bobs.text) == (200, "true")
                bobs = faulty.get("/v1/invoke/echo/", faulty.fresh("bob"))
                assert (bobs.status_code, bobs.text) == (200, "true")
            hosts = {value for seen in ingress.seen for value in seen.all("host") if seen.all("upgrade")}
            assert len(hosts) == 1
        finally:
            faulty.gateway.tenants.write_text(before)
            time.sleep(1.1)


@pytest.fixture(scope="module", params=[edge_proxy.product_config, istio_proxy.istio_config], ids=["ours", "istio"])
def edge(faulty_gateway, cloud, request):
    with edge_proxy.edge(faulty_gateway.gateway.service.port, cloud.state, config=request.param) as edge:
        yield edge


@pytest.mark.parametrize("accepted", [True, False])
def test_websocket_passes_envoy_if_both_sides_agree(faulty, edge, accepted):
    """Envoy before the gateway opens its tunnel only with ours: bytes behind a refused handshake reach nobody."""
    refusal = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    faulty.invoked.answer = answer = switching(
        lambda connection: connection.recv(4), reply=SWITCH if accepted else refusal
    )
    with connect(edge.port) as sock:
        sock.sendall(handshake(faulty.fresh()))
        first = hear(sock, answers=1, seconds=30)
        with contextlib.suppress(OSError):
            sock.sendall(b"ping" if accepted else POISON)
        wait_until(lambda: answer.kept)
    assert first.statuses == [101 if accepted else 403]
    assert answer.kept == [b"ping" if accepted else b""]


# --- what a tunnel holds


def resident(faulty) -> int:
    status = Path(f"/proc/{faulty.gateway.service.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1_024


def flood(connection: socket.socket, sent: list[int]) -> None:
    connection.settimeout(scaled(30))
    with contextlib.suppress(OSError):
        while sent[0] < 1 << 29:
            sent[0] += connection.send(bytes(65_536))


@pytest.mark.parametrize("who", ["function", "caller"])
def test_flood_for_a_reader_that_never_reads_is_bounded_and_ended(faulty, who):
    """Ten at once. Neither side's bytes pile up; a caller is too slow then, and a function is silent."""
    sent, tunnels = [[0] for _ in range(10)], 10
    floods = iter(sent)
    faulty.invoked.answer = switching(
        (lambda connection: flood(connection, next(floods))) if who == "function" else lambda _: time.sleep(scaled(20))
    )
    token = faulty.fresh()
    assert faulty.get("/v1/limits", token).status_code == 200
    before = resident(faulty)
    with contextlib.ExitStack() as stack:
        opens = [stack.enter_context(opened(faulty, token, receive_buffer=4_096))[0] for _ in range(tunnels)]
        if who == "caller":
            for connection, count in zip(opens, sent, strict=True):
                threading.Thread(target=flood, args=(connection, count), daemon=True).start()
        seen = None
        while seen != (seen := [count[0] for count in sent]):
            time.sleep(scaled(0.3))
        assert resident(faulty) - before < 32 * MIB
        assert max(seen) < 64 * MIB
        wait_until(lambda: faulty.gateway.metric("osfaas_requests_in_flight") <= 1)


@pytest.mark.parametrize("how", ["closes", "resets", "stops sending"])
@pytest.mark.parametrize("who", ["caller", "function"])
def test_side_that_leaves_leaves_nothing_behind(faulty, who, how):
    """No descriptor, no task, no request in flight, whatever the other side does."""

    def leave(connection: socket.socket) -> None:
        if how == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "stops sending":
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.close()

    def then(connection: socket.socket) -> None:
        if who == "function":
            leave(connection)
        else:
            read_all(connection)

    faulty.invoked.answer = switching(then)
    token = faulty.fresh()
    assert faulty.get("/v1/limits", token).status_code == 200
    fds = Path(f"/proc/{faulty.gateway.service.pid}/fd")
    before, tasks = len(list(fds.iterdir())), faulty.gateway.metric("osfaas_tasks")
    with contextlib.ExitStack() as stack:
        opens = [stack.enter_context(opened(faulty, token))[0] for _ in range(10)]
        for each in opens:
            if who == "caller":
                leave(each)

        def nothing_left() -> bool:
            left = len(list(fds.iterdir())), faulty.gateway.metric("osfaas_tasks")
            return left[0] <= before + 1 and left[1] <= tasks + 1 and in_flight() <= 1

        def in_flight() -> float:
            return faulty.gateway.metric("osfaas_requests_in_flight")

        wait_until(nothing_left)


def test_caller_that_leaves_before_the_answer_takes_the_call_with_it(faulty):
    """What the function then accepts is nobody's."""
    go_on = threading.Event()

    def late(connection: socket.socket, seen) -> None:
        go_on.wait(scaled(30))
        answer(connection, seen)

    answer = switching()
    faulty.invoked.answer = late
    with connect(port_of(faulty)) as sock:
        sock.sendall(handshake(faulty.fresh()) + b"early")
        wait_until(lambda: faulty.invoked.seen)
    wait_until(lambda: faulty.gateway.metric("osfaas_requests_in_flight") <= 1)
    go_on.set()
    wait_until(lambda: answer.kept or faulty.invoked.closed)
    assert answer.kept in ([], [b""])


def test_tunnel_ends_after_the_time_for_one_call(faulty):
    """4 s here: also if something passes all the time."""

    def chatter(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x")
                time.sleep(0.1)

    faulty.invoked.answer = switching(chatter)
    with opened(faulty, faulty.fresh()) as (sock, _):
        begun = time.monotonic()
        read_all(sock)
        assert time.monotonic() - begun < scaled(15)


def test_limit_of_concurrent_calls_counts_open_tunnels(start_gateway, cloud, function, bucket):
    settings = {"OSFAAS_PROJECT_CONCURRENT_CALLS": "2", "OSFAAS_LIMIT_WAIT_SECONDS": "0.1"}
    settings |= {"OSFAAS_FUNCTION_TIMEOUT_SECONDS": None, "OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS": None}
    with made_faulty(start_gateway, cloud, function, bucket, **settings) as faulty:
        faulty.invoked.answer = switching()
        token = faulty.fresh()
        with opened(faulty, token), opened(faulty, token):
            response = faulty.get("/v1/invoke/echo/", token)
            assert (response.status_code, code(response)) == (429, "concurrency.exceeded")
