"""A TCP relay that keeps every byte which passes, to see what really goes over the wire."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


class Relay:
    """Listens on loopback and passes everything on to another port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.sent = bytearray()
        self.received = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def calls(self) -> int:
        """How many POSTs were sent through."""
        return bytes(self.sent).count(b"POST / HTTP/1.1")

    def close(self) -> None:
        self._listener.close()

    def watch(self) -> tuple[Callable[[bytes], None], Callable[[bytes], None]]:
        """What sees the pieces of one connection: those that are sent, and those that are received."""
        return _keeper(self.sent), _keeper(self.received)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target_port))
                except OSError:
                    # The target is down: another connection may find it again.
                    client.close()
                    continue
                sent, received = self.watch()
                for source, target, seen in ((client, server, sent), (server, client, received)):
                    threading.Thread(target=_pump, args=(source, target, seen), daemon=True).start()


def _keeper(kept: bytearray) -> Callable[[bytes], None]:
    def keep(piece: bytes) -> None:
        kept.extend(piece[:4096] if len(kept) < 1 << 24 else b"")

    return keep


def _pump(source: socket.socket, target: socket.socket, seen: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            seen(piece)
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(target_port: int) -> Iterator[Relay]:
    made = Relay(target_port)
    try:
        yield made
    finally:
        made.close()
