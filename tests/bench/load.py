"""A closed loop of requests over kept connections; each connection sends one when it has the answer to the last."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop


@dataclass(slots=True)
class Load:
    """What came of it: seconds in all, and of each request."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p95_seconds(self) -> float:
        return statistics.quantiles(self.latencies, n=20)[-1]


def send_requests(port: int, request: bytes | Sequence[bytes], *, connections: int, requests: int) -> Load:
    """Sends a request again and again, or several in turn.

    Args:
        port: on loopback.
        request: head and body, as they go over the wire; all of several have the same method.
        connections: how many at once.
        requests: how many in all.

    Raises:
        RuntimeError: an answer was not a 2xx with a length, or a connection ended.
    """
    sequence = [request] if isinstance(request, bytes) else request
    return uvloop.run(_send_requests(port, sequence, connections, requests))


async def _send_requests(port: int, sequence: Sequence[bytes], connections: int, requests: int) -> Load:
    loop = asyncio.get_running_loop()
    load, ended = Load(), loop.create_future()
    run = _Run(sequence, requests, load, ended)
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    await asyncio.wait_for(ended, 120)
    load.seconds = time.perf_counter() - started
    return load


@dataclass(slots=True)
class _Run:
    sequence: Sequence[bytes]
    left: int
    load: Load
    ended: asyncio.Future[None]
    waiting: int = 0

    def fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(why))


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._head = run.sequence[0].startswith(b"HEAD ")
        self._received = bytearray()
        self._sent = 0.0
        self._done = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 2"):
            self._run.fail(f"not a good answer: {head + rest!r}")
            return
        length = 0 if self._head else _length_of(head)
        if len(rest) < length:
            return
        self._received.clear()
        self._run.load.latencies.append(time.perf_counter() - self._sent)
        self._run.waiting -= 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done:
            self._run.fail(f"the server closed the connection: {exc}")

    def _next(self) -> None:
        run = self._run
        if run.left:
            run.left -= 1
            run.waiting += 1
            self._sent = time.perf_counter()
            self._transport.write(run.sequence[run.left % len(run.sequence)])
            return
        self._done = True
        self._transport.close()
        if not run.waiting and not run.ended.done():
            run.ended.set_result(None)


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without a length: {head!r}")
