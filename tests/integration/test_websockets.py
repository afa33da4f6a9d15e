"""WebSockets between a real client and a real server, through the gateway, with tokens of a real Keystone."""

import contextlib
import ctypes
import http
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from streams import QUICK, gateway_before, logged, write_tenant
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.machine import scaled, wait_until

Handler = Callable[[ServerConnection], None]


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


class Function:
    """A WebSocket server whose behaviour a test chooses."""

    def __init__(self) -> None:
        self.handler: Handler = echo
        self.refuses = False
        self.requests = []
        self.open: list[ServerConnection] = []

    def handle(self, connection: ServerConnection) -> None:
        self.open.append(connection)
        try:
            self.handler(connection)
        except ConnectionClosed:
            pass
        finally:
            self.open.remove(connection)

    def decide(self, connection: ServerConnection, request):
        self.requests.append(request)
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n") if self.refuses else None


@contextlib.contextmanager
def serving() -> Iterator[Function]:
    function = Function()

    def choose(_connection: ServerConnection, offered: list[str]) -> str | None:
        return "chat.v2" if "chat.v2" in offered else None

    options = {"select_subprotocol": choose, "process_request": function.decide, "max_size": None}
    with serve(function.handle, "127.0.0.1", 0, **options) as server:
        function.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield function
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server():
    with serving() as function:
        yield function


@pytest.fixture(scope="module")
def quick(start_gateway, cloud, server):
    with gateway_before(start_gateway, cloud, server.url, **QUICK) as gateway:
        yield gateway


@pytest.fixture
def chat(server):
    server.handler, server.refuses = echo, False
    return server


@pytest.fixture
def token(cloud):
    return cloud.token("alice")


def websocket(gateway, token: str | None, path: str = "/v1/invoke/echo/", **options) -> ClientConnection:
    headers = {"X-Auth-Token": token} if token else {}
    url = gateway.url.replace("http://", "ws://") + path
    patience = {"open_timeout": scaled(30), "close_timeout": scaled(10), "proxy": None, "max_size": None}
    return connect(url, additional_headers=headers, **patience, **options)


def request_id(connection: ClientConnection) -> str:
    return connection.response.headers["X-Openstack-Request-Id"]


@pytest.mark.parametrize("compression", ["deflate", None])
def test_echo(quick, chat, token, compression):
    """Text, bytes, and more than any buffer on the way holds."""
    with websocket(quick, token, compression=compression) as connection:
        for message in ("hello", "grüße 🙂", b"", b"\x00\xff" * 1_000, bytes(8 << 20)):
            connection.send(message)
            assert connection.recv(scaled(60)) == message
        assert connection.ping().wait(scaled(30))
    line = logged(quick, request_id(connection))
    assert (line["status"], line["outcome"], line["function"], "error" in line) == (101, "answered", "echo", False)
    assert line["route"] == "invoke"
    assert quick.metric("osfaas_requests_total", route="invoke", method="GET", status="101") >= 1


def test_function_gets_the_callers_identity_and_not_its_token(quick, chat, cloud, token):
    origin = "https://app.example.org"
    path = "/v1/invoke/echo/rooms/%C3%BC;a=b?since=7"
    with websocket(quick, token, path, origin=origin, subprotocols=["chat.v1", "chat.v2"]) as connection:
        assert connection.subprotocol == "chat.v2"
    request = chat.requests[-1]
    assert request.path == "/rooms/%C3%BC;a=b?since=7"
    assert request.headers["X-Project-Id"] == cloud.users["alice"].project_id
    assert (request.headers["Origin"], request.headers["Connection"], request.headers["Upgrade"]) == (
        origin,
        "Upgrade",
        "websocket",
    )
    assert token not in str(request.headers)


def test_reason_of_a_close_reaches_the_other_side(quick, chat, token):
    closed: list[ConnectionClosed] = []

    def wait(connection: ServerConnection) -> None:
        try:
            connection.recv()
        except ConnectionClosed as error:
            closed.append(error)

    chat.handler = wait
    with websocket(quick, token) as connection:
        connection.close(4_000, "enough")
    wait_until(lambda: closed)
    assert (closed[0].rcvd.code, closed[0].rcvd.reason) == (4_000, "enough")
    chat.handler = lambda connection: connection.close(4_001, "go away")
    with websocket(quick, token) as connection, pytest.raises(ConnectionClosedError) as caught:
        connection.recv(scaled(30))
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4_001, "go away")


def test_server_speaks_first(quick, chat, token):
    """Its first message may arrive together with the head of its reply."""
    chat.handler = lambda connection: connection.send("welcome")
    for _ in range(20):
        with websocket(quick, token) as connection:
            assert connection.recv(scaled(30)) == "welcome"
            with pytest.raises(ConnectionClosedOK):
                connection.recv(scaled(30))


def test_call_that_is_rejected_opens_nothing(quick, chat, cloud, token):
    before = len(chat.requests)
    for who, path, status in (
        (None, "/v1/invoke/echo/", 401),
        ("bob", "/v1/invoke/echo/", 403),
        ("alice", "/v1/invoke/none/", 404),
        ("alice", "/healthcheck", 400),
        ("alice", "/v1/limits", 400),
    ):
        with pytest.raises(InvalidStatus) as caught:
            websocket(quick, cloud.token(who) if who else None, path)
        assert caught.value.response.status_code == status
    assert len(chat.requests) == before


def test_refusal_of_the_function_is_an_ordinary_reply(quick, chat, token):
    chat.refuses = True
    with pytest.raises(InvalidStatus) as caught:
        websocket(quick, token)
    response = caught.value.response
    assert (response.status_code, response.body) == (403, b"not you\n")
    assert response.headers["Connection"] == "close"


def assert_cut(connection: ClientConnection) -> None:
    """The connection ends without a closing handshake."""

    def read_on() -> None:
        while True:
            connection.recv(scaled(60))

    with pytest.raises(ConnectionClosedError) as caught:
        read_on()
    assert caught.value.rcvd is None


def test_revoked_token_ends_an_open_websocket_and_new_ones(quick, chat, cloud, token):
    with websocket(quick, token) as connection:
        connection.send("still here")
        assert connection.recv(scaled(30)) == "still here"
        cloud.revoke(token)
        revoked = time.monotonic()
        assert_cut(connection)
        assert time.monotonic() - revoked < scaled(10)
    line = logged(quick, request_id(connection))
    assert (line["status"], line["error"], line["outcome"]) == (101, "token.invalid", "refused")
    wait_until(lambda: not chat.open)
    with pytest.raises(InvalidStatus) as caught:
        websocket(quick, token)
    assert caught.value.response.status_code == 401


def test_suspended_tenant_ends_its_websockets(quick, chat, cloud, token):
    try:
        with websocket(quick, token) as connection:
            write_tenant(quick, cloud, chat.url, suspended="unpaid")
            assert_cut(connection)
    finally:
        write_tenant(quick, cloud, chat.url)
    line = logged(quick, request_id(connection))
    assert (line["error"], line["outcome"]) == ("tenant.suspended", "refused")


def test_websocket_goes_on_while_keystone_confirms_it(quick, chat, token):
    before = quick.metric("osfaas_token_validations_total", source="keystone", result="accepted")
    with websocket(quick, token) as connection:
        while quick.metric("osfaas_token_validations_total", source="keystone", result="accepted") < before + 3:
            connection.send("x")
            assert connection.recv(scaled(30)) == "x"


def reset(sock: socket.socket) -> None:
    """Ends a connection with RST and nothing before it, also while a thread reads from it (connect(2), AF_UNSPEC)."""
    unspecified = struct.pack("H14x", socket.AF_UNSPEC)
    assert ctypes.CDLL(None).connect(sock.fileno(), unspecified, len(unspecified)) == 0


@pytest.mark.parametrize("who", ["caller", "function"])
def test_side_that_breaks_off_takes_the_other_with_it(quick, chat, token, who):
    with websocket(quick, token) as connection:
        wait_until(lambda: chat.open)
        victim = connection if who == "caller" else chat.open[0]
        other = chat.open[0] if who == "caller" else connection
        reset(victim.socket)
        if who == "function":
            assert_cut(other)
    wait_until(lambda: not chat.open)
    line = logged(quick, request_id(connection))
    assert (line["status"], line["outcome"]) == ((499, "gone") if who == "caller" else (101, "function"))


def test_open_websocket_holds_a_slot_of_its_project(start_gateway, cloud, chat, token):
    one = {"OSFAAS_PROJECT_CONCURRENT_CALLS": "1", "OSFAAS_LIMIT_WAIT_SECONDS": "0.1"}
    with gateway_before(start_gateway, cloud, chat.url, **one) as gateway:
        with websocket(gateway, token), pytest.raises(InvalidStatus) as caught:
            websocket(gateway, token)
        assert caught.value.response.status_code == 429

        def opens() -> bool:
            with contextlib.suppress(InvalidStatus), websocket(gateway, token):
                return True
            return False

        wait_until(opens)


def test_websocket_in_which_nothing_passes_is_ended(start_gateway, cloud, chat, token):
    """What passes in either direction counts; then nothing does."""
    idle = {"OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS": str(scaled(1))}
    with gateway_before(start_gateway, cloud, chat.url, **idle) as gateway:
        with websocket(gateway, token, ping_interval=None) as connection:
            chat.handler = echo
            begun = time.monotonic()
            while time.monotonic() - begun < scaled(3):
                connection.send("x")
                assert connection.recv(scaled(30)) == "x"
                time.sleep(0.1)
            assert_cut(connection)
        line = logged(gateway, request_id(connection))
        assert (line["outcome"], "SilentError" in line["cause"]) == ("function", True)
