"""A transport that counts unacknowledged bytes and closes so that the peer can still read the last answer."""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any


class CountedTransport:
    """The part of a transport that uvicorn uses, with byte counts.

    Attributes:
        written: bytes written since the beginning.
        linger: whether the peer may still be sending when the last answer is written. A closed socket that has unread
            bytes makes the kernel reset the connection, and the answer is lost with it.
        on_linger: called when the last answer is written and only the peer's close is awaited.
    """

    __slots__ = (
        "_ending",
        "_head",
        "_holds_next",
        "_socket",
        "_taken_at",
        "_transport",
        "linger",
        "on_linger",
        "written",
    )

    def __init__(self, transport: asyncio.Transport, on_linger: Callable[[], None]) -> None:
        self._transport = transport
        self.on_linger: Callable[[], None] | None = on_linger
        self._socket = transport.get_extra_info("socket")
        self._ending = False
        self._head = b""
        self._holds_next = False
        self._taken_at = 0
        self.written = 0
        self.linger = False

    def write(self, data: bytes) -> None:
        self.written += len(data)
        if self._holds_next:
            self._holds_next, self._head = False, data
        elif self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def hold_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sends what is written next, a head, together with what is written after it.

        A small response is one segment and one system call then. A head with nothing behind it is sent in the next
        iteration of the loop.
        """
        self._flush()
        self._holds_next = True
        loop.call_soon(self._flush)

    def _flush(self) -> None:
        head, self._head, self._holds_next = self._head, b"", False
        if head:
            self._transport.write(head)

    def close(self) -> None:
        self._flush()
        if not self.linger or self._transport.is_closing():
            self._transport.close()
        elif not self._ending:
            self._ending = True
            self._transport.write_eof()
            if self.on_linger:
                self.on_linger()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Sends no more, but goes on receiving."""
        self._flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._ending or self._transport.is_closing()

    def abort(self) -> None:
        # With a reset: otherwise the kernel keeps unread bytes, and the peer does not notice the end.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def outstanding(self) -> int:
        """Bytes written that the peer's kernel has not acknowledged."""
        if self._taken_at == self.written:
            return 0
        waiting: int = self._transport.get_write_buffer_size()
        if not waiting:
            # Linux: size of the send queue, unsent or unacknowledged.
            try:
                waiting = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
            except OSError:  # closed just now
                return 0
        if not waiting:
            self._taken_at = self.written
        return waiting

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
