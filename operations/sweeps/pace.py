"""The caps of a sweep: requests and bytes a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from gateway.sweeps.specification import Limits


class Pace:
    """A bucket of one second for each cap. What is larger than a bucket is taken at once, and paid for by waiting."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        # When the debt of each will have been paid.
        self._requests_at = self._bytes_at = clock()

    def fits(self, requests: int, size: int) -> bool:
        """Whether so much may be asked for at once."""
        limits = self._limits
        return (limits.requests_per_second is None or requests <= limits.requests_per_second) and (
            limits.bytes_per_second is None or size <= limits.bytes_per_second
        )

    async def take(self, requests: int, size: int) -> None:
        """Waits until what was taken before has been paid for; then takes this."""
        now = self._clock()
        wait = max(self._requests_at, self._bytes_at) - now
        if wait > 0:
            await self._sleep(wait)
            now = self._clock()
        limits = self._limits
        if limits.requests_per_second is not None:
            self._requests_at = max(self._requests_at, now) + requests / limits.requests_per_second
        if limits.bytes_per_second is not None:
            self._bytes_at = max(self._bytes_at, now) + size / limits.bytes_per_second
