"""Ports for services that start later, while other suites on the machine do the same."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from localcloud.errors import CloudError

# Below those that Linux gives to outgoing connections: one of them could take the port of a service before its start,
# or while it is restarted.
PORTS = range(15_000, 30_000)


class PortPool:
    """Gives each port to one process, until that ends."""

    def __init__(self, file: Path, ports: Sequence[int] = PORTS) -> None:
        """`file`: processes that share it get different ports; created, and never removed."""
        self._file = file
        self._ports = ports
        self._taken: set[int] = set()
        self._descriptor: int | None = None

    def take(self, count: int) -> list[int]:
        """Different free ports on 127.0.0.1.

        Raises:
            CloudError: there are no more.
        """
        found: list[int] = []
        for port in random.SystemRandom().sample(self._ports, len(self._ports)):
            if len(found) == count:
                break
            if self._lock(port) and _is_free(port):
                found.append(port)
        if len(found) < count:
            raise CloudError(f"There are not {count} free ports from {self._ports[0]} to {self._ports[-1]}.")
        return found

    def _lock(self, port: int) -> bool:
        """Locks one byte of the file; the kernel unlocks it when this process ends, however it ends."""
        if port in self._taken:
            return False
        if self._descriptor is None:
            # Never closed: that would unlock all.
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except BlockingIOError:
            return False
        self._taken.add(port)
        return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


# Of this user: nobody can write another's file there.
_POOL = PortPool(Path(tempfile.gettempdir()) / f"osfaas-ports-{os.getuid()}")


def free_ports(count: int) -> list[int]:
    """Different free ports on 127.0.0.1, which no other process of this user gets until this one ends.

    Raises:
        CloudError: there are no more.
    """
    return _POOL.take(count)
