"""Services that suites start side by side on one machine get ports of their own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.errors import CloudError
from localcloud.ports import PORTS, PortPool

PROGRAM = """
import sys
from pathlib import Path
from localcloud.ports import PortPool
file, first, count = sys.argv[1:]
print(*PortPool(Path(file), range(int(first), int(first) + 8)).take(int(count)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ports() -> range:
    """Eight ports that nothing listens on."""
    for first in range(PORTS[-1] + 1, PORTS[-1] + 2_000, 8):
        found = range(first, first + 8)
        try:
            for port in found:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return found
    raise AssertionError("there are no eight free ports")


def other_process(file: Path, ports: range, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(file), str(ports[0]), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_get_different_ports_and_no_more_than_there_are(ports: range, tmp_path: Path) -> None:
    """Neither listens yet: both have still to start their services."""
    file = tmp_path / "ports"
    with other_process(file, ports, 4) as first, other_process(file, ports, 4) as second:
        given = [int(port) for each in (first, second) for port in each.stdout.readline().split()]  # type: ignore[union-attr]
        assert sorted(given) == list(ports)
        with pytest.raises(CloudError, match="not 1 free ports"):
            PortPool(file, ports).take(1)
    # Both have ended.
    assert sorted(PortPool(file, ports).take(8)) == list(ports)


def test_one_process_gets_each_port_once(ports: range, tmp_path: Path) -> None:
    pool = PortPool(tmp_path / "ports", ports)
    assert sorted(pool.take(3) + pool.take(5)) == list(ports)


def test_a_port_that_something_else_listens_on_is_not_given(ports: range, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", ports[3])):
        assert ports[3] not in PortPool(tmp_path / "ports", ports).take(7)


def test_no_port_is_one_that_the_kernel_gives_to_outgoing_connections() -> None:
    """It could be taken between the choice and the start of its service."""
    first, last = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not set(PORTS) & set(range(first, last + 1))
