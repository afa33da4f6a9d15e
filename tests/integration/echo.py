"""A function for tests that shows exactly what reached it, and answers what a test tells it, byte for byte."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, "Seen"], None]


@dataclass
class Seen:
    """One request as it came over the wire."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.encode().lower()]


def say_what_came(connection: socket.socket, seen: Seen) -> None:
    document = {
        "line": seen.line.decode("latin-1"),
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in seen.fields],
        "body": seen.body.decode("latin-1"),
    }
    body = json.dumps(document).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    if not seen.line.startswith(b"HEAD "):
        connection.sendall(body)


@dataclass
class Echo:
    """Listens on loopback; one thread for each connection.

    Attributes:
        answer: how requests are answered.
        eager: answer as soon as the head is there, without reading the body.
        seen: all requests, in the order of their heads.
        closed: how many connections have been closed by the other side.
        listener: the socket to listen on, if not one of its own.
    """

    answer: Answer = say_what_came
    eager: bool = False
    seen: list[Seen] = field(default_factory=list)
    closed: int = 0
    received: int = 0
    listener: socket.socket | None = None

    def __post_init__(self) -> None:
        self._listener = self.listener or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            stream = connection.makefile("rb")
            while True:
                seen = self._head(stream)
                if seen is None:
                    break
                self.seen.append(seen)
                if not self.eager:
                    self._body(stream, seen)
                self.answer(connection, seen)
        self.closed += 1

    @staticmethod
    def _head(stream) -> Seen | None:
        line = stream.readline().rstrip(b"\r\n")
        if not line:
            return None
        fields = []
        while text := stream.readline().rstrip(b"\r\n"):
            name, _, value = text.partition(b":")
            fields.append((name, value.strip()))
        return Seen(line, fields)

    @staticmethod
    def _chunk_size(stream) -> int:
        line = stream.readline()
        if not line:
            raise OSError
        return int(line.split(b";")[0], 16)

    def _body(self, stream, seen: Seen) -> None:
        if seen.all("transfer-encoding"):
            while size := self._chunk_size(stream):
                seen.body += stream.read(size)
                stream.readline()
                self.received = len(seen.body)
            stream.readline()
        elif lengths := seen.all("content-length"):
            left = int(lengths[0])
            while left:
                piece = stream.read1(min(left, 1 << 16))
                if not piece:
                    raise OSError
                left -= len(piece)
                seen.body += piece
                self.received = len(seen.body)


@contextlib.contextmanager
def echo(answer: Answer = say_what_came, *, eager: bool = False) -> Iterator[Echo]:
    made = Echo(answer, eager)
    try:
        yield made
    finally:
        made.close()


def plainly(reply: bytes, *, then: float = 0) -> Answer:
    """Answers with these bytes and closes the connection, after waiting `then` seconds."""

    def answer(connection: socket.socket, _: Seen) -> None:
        connection.sendall(reply)
        time.sleep(then)
        connection.close()
        raise OSError

    return answer
