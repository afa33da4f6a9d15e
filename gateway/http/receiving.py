"""Bounds each read from a connection: heads are read in small pieces, so that no body is read along.

A body is read when the application asks for it, once the caller is authenticated. Until then it stays in the network
and costs this process nothing. A read cannot be undone, so reads of a head must be small.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Protocol

from gateway.http.connections import ConnectionManager
from gateway.http.strict_protocol import StrictProtocol

HEAD_READ_BYTES = 4_096
BODY_READ_BYTES = 65_536


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


class BoundedReads(asyncio.BufferedProtocol):
    """Passes the bytes of a connection to a protocol, in pieces sized for a head or a body."""

    def __init__(self, receiver: Receiver, buffer: memoryview) -> None:
        """`buffer` may be shared by all connections of an event loop: it is read out before the next one is read."""
        self._receiver = receiver
        self._buffer = buffer
        self._of_head = buffer[:HEAD_READ_BYTES]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop suggests too much
        return self._buffer if self._receiver.takes_body else self._of_head

    def buffer_updated(self, nbytes: int) -> None:
        self._receiver.data_received(bytes(self._buffer[:nbytes]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._receiver.connection_made(transport)

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
    return functools.partial(_protocol, connections, memoryview(bytearray(BODY_READ_BYTES)))


def _protocol(connections: ConnectionManager, buffer: memoryview, **of_uvicorn: Any) -> BoundedReads:
    return BoundedReads(StrictProtocol(connections=connections, **of_uvicorn), buffer)
