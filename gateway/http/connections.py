"""Manages all connections of the process: limits their number and checks each one in a periodic sweep.

One sweep over all is cheaper than a timer for each: a request that is answered at once never reads the clock.
"""

import asyncio
import logging
from collections import Counter
from typing import Protocol

from gateway.http.fair_start import FairStart
from gateway.settings.server import RequestSettings

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0


class Connection(Protocol):
    """A connection as the manager sees it."""

    @property
    def address(self) -> str | None:
        """IP address of the peer."""

    @property
    def waiting_since(self) -> float | None:
        """Time since which it waits for a request; None while it has one."""

    def inspect(self, now: float) -> None:
        """Ends the connection if it transfers too slowly."""

    def drop(self, why: str) -> None:
        """Ends the connection at once."""


class ConnectionManager:
    """Tracks every connection from its first moment to its last."""

    def __init__(self, settings: RequestSettings) -> None:
        self.settings = settings
        self.starts = FairStart()
        self._max = settings.max_connections
        self._max_per_client = settings.client_max_connections
        self._connections: set[Connection] = set()
        self._clients: Counter[str | None] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Counts a new connection. Above a limit, it or an idle connection is dropped."""
        address = connection.address
        self._connections.add(connection)
        self._clients[address] += 1
        if self._max_per_client and self._clients[address] > self._max_per_client:
            connection.drop("the client has too many connections")
        elif len(self._connections) > self._max:
            self._longest_waiting(connection).drop("there are too many connections")
        if self._timer is None:
            self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def forget(self, connection: Connection) -> None:
        """Stops tracking a closed connection."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._clients[connection.address] -= 1
            if not self._clients[connection.address]:
                del self._clients[connection.address]

    def _longest_waiting(self, new: Connection) -> Connection:
        waiting = [(since, each) for each in self._connections if (since := each.waiting_since) is not None]
        return min(waiting, key=lambda pair: pair[0], default=(0.0, new))[1]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self._connections):
            connection.inspect(now)
        self._timer = loop.call_later(_SWEEP_SECONDS, self._sweep, loop) if self._connections else None
