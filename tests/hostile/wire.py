"""Raw connections: exactly these bytes go out; what comes back is answers, and maybe the connection's end."""

import contextlib
import re
import socket
import time
from dataclasses import dataclass

from tests.machine import scaled

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


_REFUSALS = frozenset([400, 408, 413, 414, 417, 426, 431, 501])


@dataclass(frozen=True)
class Heard:
    """What a server said: everything it sent, whether it then closed the connection, and after how many seconds."""

    data: bytes
    closed: bool
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """Status of each answer, in order; 100 Continue is one."""
        return [int(code) for code in _STATUS.findall(self.data)]

    @property
    def refused(self) -> bool:
        """One answer about the form of the request, or none, and then the end of the connection.

        401, 403, 404 and 405 are none: they are about what a request wants, so somebody has understood it.
        """
        return self.closed and self.one_refusal

    @property
    def one_refusal(self) -> bool:
        """The same, but a proxy may keep the connection on which it passed on somebody else's refusal."""
        return (len(self.statuses) == 1 and self.statuses[0] in _REFUSALS) or (self.closed and not self.statuses)


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    """A connection to a server on loopback; `receive_buffer` bytes of window make a slow reader."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(scaled(30))
    sock.connect(("127.0.0.1", port))
    return sock


def hear(sock: socket.socket, *, seconds: float = 5.0, answers: int | None = None) -> Heard:
    """What comes back until the connection ends, `answers` heads have come, or the time is over."""
    begun, data = time.monotonic(), b""
    while (left := begun + scaled(seconds) - time.monotonic()) > 0:
        if answers is not None and len(_STATUS.findall(data)) >= answers:
            break
        sock.settimeout(left)
        try:
            piece = sock.recv(65536)
        except TimeoutError:
            break
        except OSError:
            piece = b""
        if not piece:
            return Heard(data, closed=True, seconds=time.monotonic() - begun)
        data += piece
    return Heard(data, closed=False, seconds=time.monotonic() - begun)


def say(port: int, *pieces: bytes, seconds: float = 5.0, answers: int | None = None, pause: float = 0.02) -> Heard:
    """Sends the pieces one after the other on one connection, and hears."""
    try:
        connected = connect(port)
    except ConnectionResetError:  # A server that resets at once may be faster than the system call.
        return Heard(b"", closed=True, seconds=0.0)
    with connected as sock:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            with contextlib.suppress(OSError):  # refused before all was sent
                sock.sendall(piece)
        return hear(sock, seconds=seconds, answers=answers)
