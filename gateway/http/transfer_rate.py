"""Minimum transfer rates of callers. Pure: counts and times in, a decision out."""

import math
from dataclasses import dataclass

from gateway.settings.server import RequestSettings


@dataclass(slots=True, kw_only=True)
class MinRateMonitor:
    """Checks that a transfer keeps the minimum rate, window by window."""

    since: float | None = None
    moved: int = 0
    due: float = math.inf

    def reset(self) -> None:
        """Pauses the measurement: nothing is due, and the next window begins when something is."""
        self.since = None

    def is_below_minimum(self, now: float, moved: int, limits: RequestSettings, due: float = math.inf) -> bool:
        """Whether the window that ends now is below the minimum rate.

        Args:
            now: in seconds, of a monotonic clock.
            moved: bytes moved since the beginning of the connection.
            limits: the window and its rate.
            due: bytes available for transfer up to now. A peer that has moved all that was available when the window
                began is not slow, however little that was.
        """
        if self.since is None:
            self.since, self.moved, self.due = now, moved, due
            return False
        if now - self.since < limits.transfer_window_seconds:
            return False
        slow = (
            moved - self.moved < limits.transfer_min_bytes_per_second * limits.transfer_window_seconds
            and moved < self.due
        )
        self.since, self.moved, self.due = now, moved, due
        return slow
