"""What is open in the gateway and behind it; and the wait until it is no more than when nothing was asked."""

import time
from dataclasses import astuple, dataclass

import psutil

from tests.machine import scaled

WAIT_SECONDS = 8.0


@dataclass(frozen=True)
class Left:
    """How much is open.

    Attributes:
        descriptors: of the gateway's process.
        connections: of the gateway, on its three ways.
        behind: connections from Toxiproxy to the upstreams.
        tasks: of the gateway's event loop.
        in_flight: requests, the asking for it among them.
    """

    descriptors: int
    connections: int
    behind: int
    tasks: float
    in_flight: float

    def within(self, quiet: "Left") -> bool:
        return all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(quiet), strict=True))


def wait_until_ended(toxic, port: int) -> None:
    """Until no connection of the gateway to that port is still established, as far as the gateway knows."""
    process, deadline = psutil.Process(toxic.gateway.service.pid), time.monotonic() + scaled(WAIT_SECONDS)
    while any(
        each.raddr and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        for each in process.net_connections("tcp")
    ):
        assert time.monotonic() < deadline, "a connection that was ended is still used"
        time.sleep(0.02)


def left_open(toxic) -> Left:
    process = psutil.Process(toxic.gateway.service.pid)
    ports = {way.port for way in toxic.ways.values()}
    return Left(
        process.num_fds(),
        sum(bool(each.raddr) and each.raddr.port in ports for each in process.net_connections("tcp")),
        sum(barrier.connections for barrier in toxic.barriers.values()),
        toxic.gateway.metric("osfaas_tasks"),
        toxic.gateway.metric("osfaas_requests_in_flight"),
    )


def assert_nothing_left(toxic, quiet: Left) -> None:
    """Within some seconds: no task, descriptor, connection or request more than when it was quiet."""
    deadline = time.monotonic() + scaled(WAIT_SECONDS)
    while not (now := left_open(toxic)).within(quiet):
        assert time.monotonic() < deadline, f"left open: {now}, when quiet: {quiet}"
        time.sleep(0.1)
