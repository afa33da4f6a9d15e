"""A tunnel between a caller and a function, after a switch of protocols (RFC 9110, 7.8). No byte in it is interpreted.

There are no tasks and no queues: what arrives on one connection is written to the other in the same callback. While the
write buffer of one is full, the other is not read, so each direction holds one buffer and one read at most.
"""

import asyncio
from typing import Protocol

HALF_CLOSED_SECONDS = 10.0


class Transport(Protocol):
    """What a tunnel uses of a connection: a part of `asyncio.Transport`."""

    def write(self, data: bytes) -> None: ...
    def can_write_eof(self) -> bool: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class Tunnel:
    """Two connections, each of which reports to one end.

    The end of one direction is passed on once everything before it has been sent; the other direction goes on. When a
    connection is lost, the other one is closed once its write buffer is empty.

    Attributes:
        caller, function: the ends.
        ended: done when both connections are closed.
        ending: at least one direction has ended.
        failure: the end whose connection was lost before anything had ended, and the reason; None: it ended in order.
    """

    __slots__ = ("_active_at", "_seen", "caller", "ended", "ending", "failure", "function")

    def __init__(self) -> None:
        self.caller, self.function = End(self), End(self)
        self.caller.other, self.function.other = self.function, self.caller
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ending = False
        self.failure: tuple[End, Exception] | None = None
        self._seen: object = None
        self._active_at = 0.0

    def fail(self, end: "End", error: Exception) -> None:
        """Ends both connections at once, because of one of them."""
        if not self.ending:
            self.failure, self.ending = (end, error), True
        self.abort()

    def abort(self) -> None:
        """Ends both connections at once."""
        self.ending = True
        self.caller.abort()
        self.function.abort()
        self.settle()

    def settle(self) -> None:
        """Ends the wait for the end, if both connections are closed."""
        if self.caller.lost and self.function.lost and not self.ended.done():
            self.ended.set_result(None)
            for end in (self.caller, self.function):
                # Reference cycles would wait for the garbage collector.
                del end.tunnel, end.other

    def progress(self) -> tuple[object, ...]:
        """Changes whenever a byte has moved or a direction has ended."""
        return self.ending, self.caller.progress(), self.function.progress()

    def is_idle(self, now: float, seconds: float) -> bool:
        """Whether nothing has moved for some time; asked every now and then, with the time of one clock.

        Once a direction has ended, the rest has `HALF_CLOSED_SECONDS` at most: a peer that is gone is often known by
        nothing else.
        """
        progress = self.progress()
        if progress != self._seen:
            self._seen, self._active_at = progress, now
        return now - self._active_at > (min(seconds, HALF_CLOSED_SECONDS) if self.ending else seconds)


class End:
    """One end of a tunnel. Its connection calls the methods that are named as in `asyncio.Protocol`.

    Attributes:
        tunnel: what it is an end of.
        other: the other end.
        eof: the connection sends no more.
        writable: its write buffer is not full.
        lost: the connection is closed, or never was one.
    """

    __slots__ = ("_closing", "_received", "_transport", "eof", "lost", "other", "tunnel", "writable")

    other: "End"

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self._transport: Transport | None = None
        self._received = 0
        self.writable = True
        self.eof = self._closing = self.lost = False

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def connect(self, transport: Transport) -> None:
        """From now on the connection reports to this end. It must not be read before both ends are connected."""
        self._transport = transport

    def progress(self) -> tuple[int, int]:
        """Bytes that have arrived, and bytes that wait to be sent."""
        return self._received, 0 if self._transport is None else self._transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self.other.write(data)

    def pause_writing(self) -> None:
        self.writable = False
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.writable = True
        self.other.resume_reading()

    def eof_received(self) -> bool:
        """The connection sends no more. Returns whether it stays open for the other direction."""
        self.tunnel.ending = self.eof = True
        if self.other.eof:
            self.close()
            self.other.close()
        else:
            self.other.finish()
        return self._transport is not None and not self._closing and self._transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        tunnel = self.tunnel
        if not tunnel.ending:
            tunnel.failure = self, error or ConnectionAbortedError("the connection was given up")
        tunnel.ending = self.lost = True
        self._transport = None
        self.other.close()
        tunnel.settle()

    # --- what the other end asks for

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._transport is not None and not self.eof and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        # After its end, some event loops would report the end again.
        if self._transport is not None and not self.eof and not self._closing and self.other.writable:
            self._transport.resume_reading()

    def finish(self) -> None:
        """Nothing more is sent here."""
        if self._transport is None or self._closing:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            # TLS has no half-closed connections.
            self.close()

    def close(self) -> None:
        """Closes the connection once its write buffer is empty."""
        if self._transport is not None and not self._closing:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        else:
            self.lost = True
