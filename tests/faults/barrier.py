"""A front between Toxiproxy and a real upstream: it holds one reply at a place until a test lets it go.

So a toxic strikes an answer where the test says, and not where the scheduler happens to be.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.machine import scaled

# How much of a reply, of which so much has come, goes through before it is held; None: not yet known.
Place = Callable[[bytes], int | None]
BLANK_LINE = b"\r\n\r\n"
WAIT_SECONDS = 20

PLACES: dict[str, Place] = {
    "before": lambda _: 0,
    # In the middle of the status line.
    "during": lambda reply: 9 if len(reply) >= 9 else None,
    "after": lambda reply: reply.index(BLANK_LINE) + len(BLANK_LINE) if BLANK_LINE in reply else None,
}


@dataclass
class Hold:
    """One reply to hold: of the first request that begins so.

    Attributes:
        last: whether the upstream is told to close the connection behind its reply.
        there: set when the reply is at its place, and no more of it goes through.
        go: set by the test.
    """

    start: bytes
    place: Place
    last: bool
    there: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@dataclass
class Barrier:
    """Listens on loopback, and passes each connection on to `target_port`."""

    target_port: int
    _hold: Hold | None = None
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, start: bytes, place: str, *, last: bool = False) -> Hold:
        """The next reply to a request that begins with `start` stops at the place."""
        self._hold = Hold(start, PLACES[place], last)
        return self._hold

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def drop(self) -> None:
        """Ends every connection: the next request opens one."""
        for each in list(self._open):
            _end(each)

    def close(self) -> None:
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        self._open.add(caller)
        try:
            with caller, socket.create_connection(("127.0.0.1", self.target_port)) as upstream:
                held: list[Hold] = []
                replies = threading.Thread(target=self._replies, args=(upstream, caller, held), daemon=True)
                replies.start()
                with contextlib.suppress(OSError):
                    while piece := caller.recv(1 << 16):
                        upstream.sendall(self._seen(piece, held))
                _end(upstream)
                replies.join()
        finally:
            self._open.discard(caller)

    def _seen(self, piece: bytes, held: list[Hold]) -> bytes:
        hold = self._hold
        if hold is None or not piece.startswith(hold.start):
            return piece
        self._hold = None
        held.append(hold)
        if not hold.last:
            return piece
        head, blank, body = piece.partition(BLANK_LINE)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        return b"\r\n".join([*lines, b"Connection: close"]) + blank + body

    def _replies(self, upstream: socket.socket, caller: socket.socket, held: list[Hold]) -> None:
        with contextlib.suppress(OSError):
            while piece := upstream.recv(1 << 16):
                while held:
                    piece = _held(held.pop(), piece, upstream, caller)
                caller.sendall(piece)
        _end(caller)


def _held(hold: Hold, reply: bytes, upstream: socket.socket, caller: socket.socket) -> bytes:
    """Lets the reply through up to its place; returns what is to follow once the test says so."""
    while (through := hold.place(reply)) is None:
        piece = upstream.recv(1 << 16)
        if not piece:
            return reply
        reply += piece
    caller.sendall(reply[:through])
    hold.there.set()
    hold.go.wait(scaled(WAIT_SECONDS))
    return reply[through:]


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def barrier(target_port: int) -> Iterator[Barrier]:
    made = Barrier(target_port)
    try:
        yield made
    finally:
        made.close()
