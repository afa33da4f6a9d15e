"""Bounds each read from a connection: heads are read in small pieces, so that no body is read along.

A body is read when the application asks for it, once the caller is authenticated. Until then it stays in the network
and costs this process nothing. A read cannot be undone, so reads of a head must be small.

Bodies are read in turns, a few pieces in each iteration of the event loop. libuv would read up to 32 pieces of each
connection in one iteration, 2 MiB, and other requests would wait for them. The body of a rejected request is read as
well, to be discarded, so a sender needs no valid token for this.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from gateway.http.connections import ConnectionManager
from gateway.http.strict_protocol import StrictProtocol

HEAD_READ_BYTES = 4_096
BODY_READ_BYTES = 65_536
# Pieces of bodies in each iteration of the loop, of all connections together. One takes some 50 µs.
BODY_READS_PER_ITERATION = 2


class Receiver(Protocol):
    """A protocol that receives bytes and reports whether a body is next."""

    @property
    def takes_body(self) -> bool:
        """Whether a body is next."""

    def connection_made(self, transport: Any) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class ReadTurns:
    """The connections of one event loop that have read a piece of a body and wait for their next turn."""

    def __init__(self) -> None:
        self._waiting: deque[TurnedTransport] = deque()
        self._scheduled = False

    def take(self, transport: "TurnedTransport") -> None:
        """Counts a piece that was read; its connection reads the next one in its turn."""
        transport.hold()
        self._waiting.append(transport)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        for _ in range(min(BODY_READS_PER_ITERATION, len(self._waiting))):
            self._waiting.popleft().release()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next_iteration)


class TurnedTransport:
    """A transport that reads if both its protocol and its turn allow it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._paused = False
        self._held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._held:
            self._transport.resume_reading()

    def hold(self) -> None:
        """Reads nothing until its turn."""
        self._held = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        """Reads again, unless the protocol has paused it."""
        self._held = False
        if not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()


class BoundedReads(asyncio.BufferedProtocol):
    """Passes the bytes of a connection to a protocol, in pieces sized for a head or a body."""

    _transport: TurnedTransport

    def __init__(self, receiver: Receiver, buffer: memoryview, turns: ReadTurns) -> None:
        """`buffer` may be shared by all connections of an event loop: it is read out before the next one is read."""
        self._receiver = receiver
        self._turns = turns
        self._buffer = buffer
        self._of_head = buffer[:HEAD_READ_BYTES]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop suggests too much
        return self._buffer if self._receiver.takes_body else self._of_head

    def buffer_updated(self, nbytes: int) -> None:
        self._receiver.data_received(bytes(self._buffer[:nbytes]))
        if nbytes > HEAD_READ_BYTES:
            self._turns.take(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = TurnedTransport(cast("asyncio.Transport", transport))
        self._receiver.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._receiver.eof_received()

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        self._receiver.resume_writing()


def strict_protocols(connections: ConnectionManager) -> Callable[..., BoundedReads]:
    """Makes the protocol of each connection, for uvicorn's setting `http`."""
    return functools.partial(_protocol, connections, memoryview(bytearray(BODY_READ_BYTES)), ReadTurns())


def _protocol(connections: ConnectionManager, buffer: memoryview, turns: ReadTurns, **of_uvicorn: Any) -> BoundedReads:
    return BoundedReads(StrictProtocol(connections=connections, **of_uvicorn), buffer, turns)
