"""Limits concurrent validations of unknown tokens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.identity.outage import OutageError


class ValidationLimiter:
    """Limits concurrent validations, so that a flood of made-up tokens does not overload Keystone.

    A made-up token costs its sender nothing and Keystone some milliseconds.

    It is no `FairQueue`: until the token is validated there is no subject, neither project nor caller, between whom a
    queue could be fair; and whatever the sender claims instead, a flood can vary.
    """

    def __init__(self, max_concurrent: int, *, wait_seconds: float) -> None:
        """`max_concurrent`: maximum validations; `wait_seconds`: maximum wait for a slot."""
        self._free = asyncio.Semaphore(max_concurrent)
        self._wait_seconds = wait_seconds

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds the slot of one validation.

        Raises:
            OutageError: no slot became free in time.
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
