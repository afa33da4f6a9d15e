"""A time window for retries of repeatable work."""

import asyncio
import random
import time

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 2.0


class RetryWindow:
    """A window from the first failure in which further attempts may start, with exponential backoff.

    A long attempt uses up the window, so long work is repeated at most once.
    """

    def __init__(self, seconds: float) -> None:
        """The clock starts with the first failure."""
        self._seconds = seconds
        self._ends_at: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    async def wait(self) -> bool:
        """After a failure, waits for the next attempt; returns False at once if the window is over."""
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._seconds
        # Jitter: requests that failed together must not retry together.
        pause = self._pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if now + pause > self._ends_at:
            return False
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
        return True
