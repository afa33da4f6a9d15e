"""Services that suites start side by side on one machine get ports of their own."""

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.errors import CloudError
from localcloud.ports import PORTS, free_ports

PROGRAM = """
import sys
from localcloud.ports import free_ports
first, count = map(int, sys.argv[1:])
print(*free_ports(count, range(first, first + 8)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ports() -> range:
    """Eight ports that nothing listens on; tests beside this one have others."""
    firsts = range(PORTS[-1] + 1, PORTS[-1] + 2_000, 8)
    for first in random.SystemRandom().sample(firsts, len(firsts)):
        found = range(first, first + 8)
        try:
            for port in found:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return found
    raise AssertionError("there are no eight free ports")


def other_process(ports: range, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(ports[0]), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_get_different_ports_and_no_more_than_there_are(ports: range) -> None:
    """Neither listens yet: both have still to start their services."""
    with other_process(ports, 4) as first, other_process(ports, 4) as second:
        given = [int(port) for each in (first, second) for port in each.stdout.readline().split()]  # type: ignore[union-attr]
        assert sorted(given) == list(ports)
        with pytest.raises(CloudError, match="not 1 free ports"):
            free_ports(1, ports)
    # Both have ended.
    assert sorted(free_ports(8, ports)) == list(ports)


def test_one_process_gets_each_port_once(ports: range) -> None:
    assert sorted(free_ports(3, ports) + free_ports(5, ports)) == list(ports)


def test_a_port_that_something_else_listens_on_is_not_given(ports: range) -> None:
    with socket.create_server(("127.0.0.1", ports[3])):
        assert ports[3] not in free_ports(7, ports)


def test_no_port_is_one_that_the_kernel_gives_to_outgoing_connections() -> None:
    """It could be taken between the choice and the start of its service."""
    first, last = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not set(PORTS) & set(range(first, last + 1))
