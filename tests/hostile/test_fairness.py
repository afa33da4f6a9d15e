"""A burst of one project's connections: what another project's request meets, and what is left behind."""

import contextlib
import gc
import socket
import threading
import time

import pytest
from controls import serving, strict
from starlette.types import Receive, Scope, Send

from gateway.http.connections import ConnectionManager
from gateway.http.receiving import strict_protocols
from gateway.http.strict_protocol import PROJECT_OF, StrictCycle, StrictProtocol
from gateway.settings import Settings
from tests.machine import scaled, wait_until


def request(name: str) -> bytes:
    return f"GET /{name} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {name[0]}\r\nConnection: close\r\n\r\n".encode()


def test_request_of_another_project_overtakes_a_burst_that_arrived_before_it() -> None:
    started: list[str] = []
    block, blocked = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][PROJECT_OF] = lambda fields: dict(fields)[b"x-auth-token"].decode()
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        started.append(scope["path"][1:])
        if scope["path"] == "/first":
            # The event loop stands still until all others have arrived.
            blocked.set()
            block.wait(scaled(30))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    names = ["first", *(f"a{number}" for number in range(40)), "b"]
    with (
        serving(app, http=strict_protocols(ConnectionManager(Settings())), lifespan="on") as port,
        contextlib.ExitStack() as stack,
    ):
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in names]
        # Accepted before the loop stands still.
        time.sleep(scaled(0.2))
        for number, name in enumerate(names):
            sockets[number].sendall(request(name))
            if not number:
                assert blocked.wait(scaled(30))
        block.set()
        for each in sockets:
            assert each.recv(100).startswith(b"HTTP/1.1 204")
    assert sorted(started) == sorted(names)
    assert started.index("b") <= 3 * 2


@pytest.mark.parametrize(
    ("head", "answered"),
    [
        pytest.param(b"GET / HTTP/1.1", True, id="answered"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 100000", False, id="left in its body"),
        pytest.param(b"GET / HTTP/1.1\r\nX : x", True, id="refused by its bytes"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: 5", True, id="refused by its framing"),
        pytest.param(b"GET / HTTP/1.1\r\nExpect: x", True, id="refused by its fields"),
    ],
)
def test_connections_leave_nothing_for_the_garbage_collector(head: bytes, answered: bool) -> None:
    """A collection that finds 45,000 objects stops the process for 90 ms."""

    def left() -> int:
        return sum(isinstance(each, StrictProtocol | StrictCycle) for each in gc.get_objects())

    with strict() as port:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", port)) as caller:
                    caller.sendall(head + b"\r\nHost: x\r\n\r\n")
                    if answered:
                        assert caller.recv(100).startswith(b"HTTP/1.1 ")
            wait_until(lambda: not left(), seconds=5, what="the end of all connections")
        finally:
            gc.enable()
