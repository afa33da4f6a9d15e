"""A front before a real upstream: passes everything on, until a test says what goes wrong with which requests."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: its first line, its fields by name in lower case, and all of its bytes."""

    line: bytes
    fields: dict[str, str]
    raw: bytes


# Answers on the connection and says True, or says False: then the upstream is asked.
Fault = Callable[[socket.socket, Request], bool]


def pass_on(_: socket.socket, __: Request) -> bool:
    return False


@dataclass
class Front:
    """Listens on loopback, and asks `target_port` in a connection for each request.

    Attributes:
        fault: what happens to requests now.
        seen: their first lines and fields, in the order of their coming.
    """

    target_port: int
    fault: Fault = pass_on
    seen: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, start: bytes) -> int:
        """How many requests began with this."""
        return sum(request.line.startswith(start) for request in self.seen)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = read_request(connection)
            if request is None:
                return
            self.seen.append(request)
            if not self.fault(connection, request):
                self._ask(connection, request)

    def _ask(self, connection: socket.socket, request: Request) -> None:
        """One request for each connection: the upstream is told to close it."""
        head, _, body = request.raw.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        with socket.create_connection(("127.0.0.1", self.target_port)) as upstream:
            upstream.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            while piece := upstream.recv(1 << 16):
                connection.sendall(piece)


def read_request(connection: socket.socket) -> Request | None:
    """The next request, whose body has a length or is none."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(1 << 16)
        if not piece:
            return None
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    fields = {
        name.decode("latin-1").lower(): value.strip().decode("latin-1")
        for name, _, value in (each.partition(b":") for each in rest)
    }
    while len(body) < int(fields.get("content-length", 0)):
        piece = connection.recv(1 << 16)
        if not piece:
            return None
        raw, body = raw + piece, body + piece
    return Request(line, fields, raw)


@contextlib.contextmanager
def front(target_port: int, fault: Fault = pass_on) -> Iterator[Front]:
    made = Front(target_port, fault)
    try:
        yield made
    finally:
        made.close()


def says(reply: bytes) -> Fault:
    """Answers with these bytes and closes the connection."""

    def fault(connection: socket.socket, _: Request) -> bool:
        connection.sendall(reply)
        return True

    return fault


def status(number: int, body: bytes = b"", *fields: str) -> Fault:
    """Answers with a status and a body."""
    lines = [f"HTTP/1.1 {number} x", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""]
    return says("\r\n".join(lines).encode() + body)


def reset(connection: socket.socket, _: Request) -> bool:
    """Ends the connection with a reset instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return True


def hang_up(_: socket.socket, __: Request) -> bool:
    """Ends the connection without an answer."""
    return True


def silence(seconds: float) -> Fault:
    """No answer for so long, then none."""

    def fault(_: socket.socket, __: Request) -> bool:
        time.sleep(seconds)
        return True

    return fault


def drip(reply: bytes, pause: float) -> Fault:
    """An answer byte by byte."""

    def fault(connection: socket.socket, _: Request) -> bool:
        for number in range(len(reply)):
            connection.sendall(reply[number : number + 1])
            time.sleep(pause)
        return True

    return fault


def only(start: bytes, fault: Fault) -> Fault:
    """The fault for requests that begin so; the others go through."""

    def chosen(connection: socket.socket, request: Request) -> bool:
        return request.line.startswith(start) and fault(connection, request)

    return chosen


def alternating(*faults: Fault) -> Fault:
    """One after the other, again and again."""
    turn = iter(range(1 << 30))

    def fault(connection: socket.socket, request: Request) -> bool:
        return faults[next(turn) % len(faults)](connection, request)

    return fault
