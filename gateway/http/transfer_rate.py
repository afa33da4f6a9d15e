"""How slowly a caller may send and take. Pure: counts and times in, a verdict out."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """Patience with a connection.

    Attributes:
        head_seconds: for a whole head.
        window_seconds: over which a rate is measured.
        bytes_per_second: least rate of a body that is sent and of an answer that is taken; 0: any.
        linger_seconds: how long what still comes is thrown away after the last answer, so that the caller can read it.
    """

    head_seconds: float
    window_seconds: float
    bytes_per_second: int
    linger_seconds: float = 2.0


@dataclass(slots=True, kw_only=True)
class MinRateMonitor:
    """Sees whether a transfer keeps the least rate, window by window."""

    since: float | None = None
    moved: int = 0
    due: float = math.inf

    def reset(self) -> None:
        """Nothing is to be moved now: the next window begins when there is."""
        self.since = None

    def is_below_minimum(self, now: float, moved: int, limits: TransferLimits, due: float = math.inf) -> bool:
        """Whether the window that ends now had too few bytes.

        Args:
            now: in seconds, of a monotonic clock.
            moved: bytes moved since the beginning of the connection.
            limits: the window and its rate.
            due: bytes that there are to be moved up to now. Who has moved all that there was when the window began
                is not slow, however little that was.
        """
        if self.since is None:
            self.since, self.moved, self.due = now, moved, due
            return False
        if now - self.since < limits.window_seconds:
            return False
        slow = moved - self.moved < limits.bytes_per_second * limits.window_seconds and moved < self.due
        self.since, self.moved, self.due = now, moved, due
        return slow
