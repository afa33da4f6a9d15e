"""How many questions about unknown tokens go to Keystone at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.identity.outage import OutageError


class ValidationLimiter:
    """Made-up tokens cost whoever sends them nothing, and Keystone some milliseconds each.

    They are asked about a few at a time, so that a flood of them neither puts Keystone out nor stands before those it
    has accepted.
    """

    def __init__(self, max_concurrent: int, *, wait_seconds: float) -> None:
        """`max_concurrent`: most questions; `wait_seconds`: longest wait for the turn to ask one."""
        self._free = asyncio.Semaphore(max_concurrent)
        self._wait_seconds = wait_seconds

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """The turn to ask one question.

        Raises:
            OutageError: it did not come.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise OutageError(retry_after_seconds=1) from error
        try:
            yield
        finally:
            self._free.release()
