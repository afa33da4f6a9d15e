"""HTTP/1.1 with each header field as written here, for requests of clients that do not run in these tests."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.machine import scaled


@dataclass(frozen=True)
class Head:
    """The head of a response, its fields in the order in which they came."""

    status: int
    fields: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]


def request(method: str, target: str, port: int, fields: Sequence[tuple[str, str]]) -> bytes:
    """The bytes of a request without a body."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([line.replace("{port}", str(port)) for line in lines] + ["", ""]).encode("ascii")


@contextlib.contextmanager
def sent(port: int, message: bytes, seconds: float | None = None) -> Iterator[socket.socket]:
    """A connection on which the request was sent; its end is the end of a client that waits no longer."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds or scaled(120)) as connection:
        connection.sendall(message)
        yield connection


def head_of(port: int, message: bytes, seconds: float | None = None) -> Head:
    """Sends a request and reads the head of the response.

    Raises:
        TimeoutError: nothing came for this time, as the socket timeout of a client.
    """
    with sent(port, message, seconds) as connection:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(1 << 16)
            assert piece, f"the connection ended after {received!r}"
            received += piece
    status, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines]
    return Head(int(status.split()[1]), [(name, value.strip(" \t")) for name, _, value in fields])
