"""Ports for services that start later, while other suites on the machine do the same."""

import contextlib
import random
import socket
from collections.abc import Sequence

from localcloud.errors import CloudError

# Above Istio's, and below those that Linux gives to outgoing connections: one of them could take the port of a service
# before its start, or while it is restarted.
PORTS = range(16_000, 30_000)
# Linux forgets the names of a process when it ends, however it ends; nothing lies in a folder.
_NAME = "\0osfaas-port-{}"
_reserved: list[socket.socket] = []


def free_ports(count: int, ports: Sequence[int] = PORTS) -> list[int]:
    """Different free ports on 127.0.0.1, which no other process gets from here until this one ends.

    Raises:
        CloudError: there are no more.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(ports, len(ports)):
        if len(found) == count:
            break
        if _reserve(port) and _is_free(port):
            found.append(port)
    if len(found) < count:
        raise CloudError(f"There are not {count} free ports from {ports[0]} to {ports[-1]}.")
    return found


def _reserve(port: int) -> bool:
    """Binds the port's name, in the network namespace that the port is in."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(_NAME.format(port))
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
