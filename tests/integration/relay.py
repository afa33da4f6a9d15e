"""A TCP relay that keeps every byte which passes, to see what really goes over the wire."""

import contextlib
import socket
import threading
from collections.abc import Iterator


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

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
                for source, target, kept in ((client, server, self.sent), (server, client, self.received)):
                    threading.Thread(target=self._pump, args=(source, target, kept), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                kept += piece[:4096] if len(kept) < 1 << 24 else b""
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
