"""Which parts of the byte gate (`gateway/http/strict_protocol.py` and what it uses) are needed behind Envoy.

The same attacks reach, through the real Envoy with the product's configuration, a server with the gate and one with
uvicorn's own protocol. Where both do the same, the gate is needed only by a gateway without Envoy.
"""

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import controls
import edge_proxy
import pytest
from heads import get, length
from test_behind_envoy import ALL, only_request, through
from test_envoy_limits import LARGE, Server
from wire import connect

from gateway.http.connections import ConnectionManager
from gateway.http.receiving import strict_protocols
from gateway.http.strict_protocol import PROJECT_OF
from gateway.settings import Settings
from tests.machine import scaled, wait_until

BURST = 40


def gate(**settings: object):
    return strict_protocols(ConnectionManager(Settings(**settings)))


def test_framing_of_a_request_is_the_same_without_the_gate(tmp_path):
    """Envoy and the check of the head (`head.py`) leave nothing for the grammar of `wire.py` and `wire_body.py`."""
    with contextlib.ExitStack() as stack:
        strict = stack.enter_context(controls.strict())
        plain = stack.enter_context(controls.serving(controls.defended(controls.echo, Settings())))
        edges = [stack.enter_context(edge_proxy.edge(port, tmp_path)) for port in (strict, plain)]
        for name, request in ALL.items():
            first, second = (through(edge, request) for edge in edges)
            assert first.first.statuses == second.first.statuses, name
            if second.first.statuses == [200]:
                only_request(second.reached)


@pytest.fixture
def server(request, tmp_path):
    """A server behind Envoy, with a part of the gate that is in a hurry or without any of it."""
    hurried = gate(transfer_window_seconds=scaled(1))
    made = Server()
    http = hurried if request.param == "gate" else "httptools"
    with controls.serving(made, http=http) as made.port, edge_proxy.untapped(made.port, tmp_path) as envoy:
        yield made, envoy.port


SLOW = {"upload": length(b" 1000", b""), "reader": get(line=LARGE)}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("server", ["gate"], indirect=True)
def test_slow_transfer_ends_with_the_gate(server, kind):
    """`transfer_rate.py`, `counted_transport.py` and `connections.py`: a call does not hold a slot for half an hour."""
    behind, port = server
    with connect(port, receive_buffer=4_096) as sock:
        sock.sendall(SLOW[kind])
        wait_until(lambda: behind.started and not behind.running, what="the end of the request behind Envoy")


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_slow_transfer_goes_on_without_the_gate(server, kind):
    """Until Envoy's time of a whole call is over."""
    behind, port = server
    with connect(port, receive_buffer=4_096) as sock:
        sock.sendall(SLOW[kind])
        wait_until(lambda: behind.running, what="the request behind Envoy")
        time.sleep(scaled(4))
        assert behind.running == 1


class Order:
    """An application that keeps the order in which requests were started.

    `warm` is answered once as many of it have come as the burst has requests: then Envoy has a connection for each.
    `first` stops the event loop until all others have arrived.
    """

    def __init__(self) -> None:
        self.started: list[str] = []
        self.arrived, self.release = threading.Event(), threading.Event()
        self._warm, self._all_warm = 0, asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][PROJECT_OF] = lambda fields: dict(fields)[b"x-auth-token"].decode()
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        name = scope["path"].rpartition("/")[2]
        if name == "warm":
            self._warm += 1
            if self._warm == BURST + 2:
                self._all_warm.set()
            await self._all_warm.wait()
        else:
            self.started.append(name)
        if name == "first":
            self.arrived.set()
            self.release.wait(scaled(60))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def call(name: str) -> bytes:
    return get(b"X-Auth-Token: %b\r\n" % name[:1].encode(), line=b"GET /v1/%b HTTP/1.1\r\n" % name.encode())


def answers(sockets: list[Any]) -> None:
    for sock in sockets:
        assert sock.recv(1_000).startswith(b"HTTP/1.1 204")


def place_behind_a_burst(http: object, state: Path) -> int:
    """How many requests of a burst of one project were started before another project's, which came last."""
    app = Order()
    with (
        controls.serving(app, http=http, lifespan="on") as port,
        edge_proxy.edge(port, state) as edge,
        contextlib.ExitStack() as stack,
    ):
        names = ["first", *(f"a{number}" for number in range(BURST)), "b"]
        sockets = [stack.enter_context(connect(edge.port)) for _ in names]
        for sock in sockets:
            sock.sendall(call("warm"))
        answers(sockets)
        edge.tap.forget()
        for number, (sock, name) in enumerate(zip(sockets, names, strict=True)):
            sock.sendall(call(name))
            assert app.arrived.wait(scaled(60))
            wait_until(lambda: len(edge.tap.heard) > number, what="its arrival")  # noqa: B023 - called at once
        app.release.set()
        answers(sockets)
    return app.started.index("b")


def test_burst_of_one_project_is_overtaken_with_the_gate_only(tmp_path):
    """`fair_start.py`, which the gate calls."""
    assert place_behind_a_burst(gate(), tmp_path) <= 3 * 2
    assert place_behind_a_burst("httptools", tmp_path) == BURST + 1
