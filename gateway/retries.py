"""How long and how often something is tried again that may be repeated."""

import asyncio
import random
import time

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 2.0


class RetryWindow:
    """The time from the first failure on in which further attempts may begin, with growing pauses between them.

    An attempt that itself took long leaves no time, so that long work is repeated once at most.
    """

    def __init__(self, seconds: float) -> None:
        """Begins nothing: the clock starts with the first failure."""
        self._seconds = seconds
        self._ends_at: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    async def wait(self) -> bool:
        """After a failure: waits for the next attempt, or says at once that there is no time for one."""
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._seconds
        # Not all at the same moment: those who failed together would meet again.
        pause = self._pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if now + pause > self._ends_at:
            return False
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
        return True
