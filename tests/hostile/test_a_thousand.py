"""A thousand hostile connections: each is gone within 15 seconds, and other requests are answered meanwhile."""

import http.client
import socket
import time

import pytest
from heads import HOST, get
from wire import connect

from tests.machine import scaled

SOCKETS = 1_000
WITHIN_SECONDS = 15
ROUNDS = 5


def latencies(port: int, *, count: int) -> list[float]:
    """Seconds of each of `count` legitimate requests, one after the other on one connection."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(30)), []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("GET", "/healthcheck")
        assert connection.getresponse().read() == b"OK"
        taken.append(time.perf_counter() - begun)
    connection.close()
    return sorted(taken)


def least_p99(port: int) -> float:
    """The least of some, in seconds: what the machine does besides comes and goes."""
    return min(latencies(port, count=500)[495] for _ in range(ROUNDS))


def hostile(port: int, number: int) -> socket.socket:
    """Every other one begins a head and stops; the rest ask for much and take nothing."""
    if number % 2:
        sock = connect(port)
        sock.sendall(b"GET /v1 HTTP/1.1\r\n" + HOST)
        return sock
    sock = connect(port, receive_buffer=2_048)
    sock.sendall(get(line=b"GET /v1/openapi.json HTTP/1.1\r\n") * 4)
    return sock


def ended(sock: socket.socket) -> bool:
    """Whether the server has closed or reset it, whatever has not been read."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED


@pytest.mark.parametrize("timed", [False, pytest.param(True, id="latency", marks=pytest.mark.long)])
def test_thousand_hostile_connections_end_and_other_requests_are_answered(gateway, timed):
    """At length, on a machine that does nothing else, the p99 of other requests does not double either."""
    port = gateway.port
    latencies(port, count=200)
    calm = least_p99(port)
    sockets = [hostile(port, number) for number in range(SOCKETS)]
    begun = time.monotonic()
    time.sleep(1)  # their requests are answered as far as they let that happen
    among = [latencies(port, count=500)[495]]
    assert not all(map(ended, sockets)), "none was there during the measurement"
    while len(among) < ROUNDS and not all(map(ended, sockets)):
        among.append(latencies(port, count=500)[495])
    stormy = min(among)
    while not all(map(ended, sockets)) and time.monotonic() < begun + scaled(WITHIN_SECONDS):
        time.sleep(0.2)
    left = sum(not ended(sock) for sock in sockets)
    for sock in sockets:
        sock.close()
    print(f"p99 {calm * 1000:.2f} ms alone, {stormy * 1000:.2f} ms among {SOCKETS}")
    assert left == 0
    # A millisecond of noise is allowed for: alone, p99 is one or two.
    assert not timed or stormy <= 2 * calm + scaled(0.001)
