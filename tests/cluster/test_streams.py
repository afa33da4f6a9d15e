"""WebSockets and server-sent events from outside the cluster to a pod of the caller's project, and their end."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from policies.names import ProjectId, namespace_of
from tests.cluster.product import EDGE_HOST
from tests.cluster.progress import say
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.product import Product

_PATH = "/v1/invoke/streams/feed"
# What the documentation promises with the settings of the installation: a new call is refused 30 s after a revocation,
# a stream ends after the recheck of 30 s and those 30 s.
_NEW_CALLS_SECONDS, _STREAMS_SECONDS = 30, 60


@pytest.fixture(scope="module", autouse=True)
def tenant(product: Product) -> Iterator[None]:
    """Alice's project, with its function awake."""
    namespace = namespace_of(ProjectId(product.openstack.inside.users["alice"].project_id))
    product.osfaas("tenant", "onboard", "alice-project", "--domain", "Default", "--function", "streams")
    with _events(product, product.openstack.outside.token("alice")):
        pass
    yield
    product.remove_tenant(namespace)


@contextmanager
def _websocket(product: Product, token: str, path: str = _PATH) -> Iterator[ClientConnection]:
    """A WebSocket by the edge's name over TLS, though the connection goes to a loopback port."""
    trust = ssl.create_default_context(cafile=str(product.folder / "certificates" / "ca.crt"))
    edge = urlsplit(product.edge)
    headers = {"X-Auth-Token": token}
    with connect(
        f"wss://{EDGE_HOST}{path}",
        sock=socket.create_connection((edge.hostname, edge.port)),
        ssl=trust,
        additional_headers=headers,
        proxy=None,
        open_timeout=scaled(60),
        ping_interval=None,
    ) as connection:
        yield connection


@contextmanager
def _events(product: Product, token: str) -> Iterator[Iterator[str]]:
    with product.caller("alice", token=token) as caller, caller.stream("GET", _PATH) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        lines = response.iter_lines()
        assert next(lines) == "id: 0"
        yield lines


def _read_until(lines: Iterator[str], deadline: float) -> None:
    for _ in lines:
        assert time.monotonic() < deadline


def test_websocket_without_a_token_and_of_another_project_stops_at_the_gateway(product: Product) -> None:
    for token, status in (("no-token", 401), (product.openstack.outside.token("dave"), 403)):
        with pytest.raises(InvalidStatus) as refused, _websocket(product, token):
            pass
        assert refused.value.response.status_code == status


def test_websocket_reaches_the_pod_and_messages_of_each_kind_come_back(product: Product) -> None:
    with _websocket(product, product.openstack.outside.token("alice")) as connection:
        for message in ("grüezi", bytes(range(256)) * 256, "", b""):
            connection.send(message)
            assert connection.recv(timeout=scaled(30)) == message


def test_each_event_arrives_while_the_function_still_sends(product: Product) -> None:
    """The stream never ends, so a buffer anywhere on the way would end in a timeout."""
    with _events(product, product.openstack.outside.token("alice")) as lines:
        seen = [next(line for line in lines if line.startswith("id: ")) for _ in range(20)]
    assert seen == [f"id: {number}" for number in range(1, 21)]


def test_revoked_token_ends_new_calls_and_open_streams_within_the_stated_bounds(product: Product) -> None:
    cloud = product.openstack.outside
    token = cloud.token("alice")
    with _websocket(product, token) as connection, _events(product, token) as lines:
        connection.send("still")
        assert connection.recv(timeout=scaled(30)) == "still"
        cloud.revoke(token)
        revoked = time.monotonic()
        with product.caller("alice", token=token) as caller:
            while caller.get("/v1/invoke/streams/healthz").status_code != 401:
                assert time.monotonic() - revoked < _NEW_CALLS_SECONDS + scaled(5)
                time.sleep(0.5)
        refused = time.monotonic() - revoked
        with pytest.raises(httpx.RemoteProtocolError):
            _read_until(lines, revoked + _STREAMS_SECONDS + scaled(5))
        ended = time.monotonic() - revoked
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=_STREAMS_SECONDS + scaled(5))
    say(f"new calls refused after {refused:.1f} s, the stream ended after {ended:.1f} s")
