"""Stand-in for a load balancer: a loopback port of this machine that leads into the cluster's networks.

The listening socket was made outside those network namespaces and stays there; what forwards lives inside: a thread of
the node for the API server, `python -m tests.cluster.standins.doors FD ADDRESS PORT` for others.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

_CHUNK_BYTES = 65536


def forward(door: socket.socket, target: tuple[str, int]) -> None:
    """Accepts for ever; each connection becomes one to the target."""
    while True:
        try:
            visitor, _ = door.accept()
        except OSError:
            return
        try:
            inside = socket.create_connection(target, timeout=5)
        except OSError:
            visitor.close()
            continue
        inside.settimeout(None)
        for source, sink in ((visitor, inside), (inside, visitor)):
            threading.Thread(target=_pour, args=(source, sink), daemon=True).start()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    for end in (sink, source):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_WR if end is sink else socket.SHUT_RD)


if __name__ == "__main__":
    forward(socket.socket(fileno=int(sys.argv[1])), (sys.argv[2], int(sys.argv[3])))
