"""Minimum transfer rates of callers. Pure: counts and times in, a decision out."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """Time and rate limits of a connection (slow clients).

    Attributes:
        head_seconds: maximum time for a whole head.
        window_seconds: period over which a rate is measured.
        bytes_per_second: minimum rate of a request's body and of reading an answer; 0: no minimum.
        linger_seconds: how long incoming bytes are discarded after the last answer, so that the caller can read it.
    """

    head_seconds: float
    window_seconds: float
    bytes_per_second: int
    linger_seconds: float = 2.0


@dataclass(slots=True, kw_only=True)
class MinRateMonitor:
    """Checks that a transfer keeps the minimum rate, window by window."""

    since: float | None = None
    moved: int = 0
    due: float = math.inf

    def reset(self) -> None:
        """Pauses the measurement: nothing is due, and the next window begins when something is."""
        self.since = None

    def is_below_minimum(self, now: float, moved: int, limits: TransferLimits, due: float = math.inf) -> bool:
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
        if now - self.since < limits.window_seconds:
            return False
        slow = moved - self.moved < limits.bytes_per_second * limits.window_seconds and moved < self.due
        self.since, self.moved, self.due = now, moved, due
        return slow
