"""Notices that the database's clock was stepped: then leases tell nothing until their holders have renewed them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

# Of a lease. A smaller step ends no lease: a holder renews it when a fifth of it is over.
_STEP = 1 / 3


@dataclass(slots=True)
class LeaseClock:
    """Compares the database's clock with the process's own monotonic one.

    Attributes:
        lease_seconds: of all workers.
        monotonic: seconds.
    """

    lease_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    _seen: tuple[float, float] | None = None
    _stepped: float | None = None

    def can_be_trusted(self, database_ms: int) -> bool:
        """Whether a lease that has ended by the database's clock was not renewed; asked about twice a lease or more.

        `database_ms`: the time of the database now.
        """
        seconds, here = database_ms / 1000, self.monotonic()
        if self._seen is not None:
            then, there = self._seen
            if abs((seconds - then) - (here - there)) > _STEP * self.lease_seconds:
                self._stepped = here
        self._seen = seconds, here
        return self._stepped is None or here - self._stepped > self.lease_seconds
