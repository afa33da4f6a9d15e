"""Threads for blocking work, and slots that limit concurrent computations."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .errors import ChecksumsError, Code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .pipeline import Stop

T = TypeVar("T")
_RETRY_AFTER_SECONDS = 2


class Threads:
    """Runs blocking functions for one computation; a cancelled caller waits until its function has returned."""

    def __init__(self, executor: ThreadPoolExecutor, stop: Stop) -> None:
        self._executor = executor
        self._stop = stop

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result. On cancellation, stops the computation and waits until its thread has ended.

        So a slot is never free while its thread still holds buffers: memory stays bounded even if callers connect and
        disconnect quickly.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, function)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._stop.stop()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # marks it as retrieved, or asyncio would log it
            raise


class Slots:
    """Limits concurrent computations; a bounded number of others wait in the order of arrival."""

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self._semaphore = asyncio.Semaphore(concurrency)
        self._queue = queue
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Holds a slot. Raises too_busy at once if all slots are taken and the queue is full."""
        if self._semaphore.locked() and self._waiting >= self._queue:
            raise ChecksumsError(
                Code.TOO_BUSY,
                "Too many computations are running and waiting; try again shortly.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._semaphore.release()


__all__ = ["Slots", "ThreadPoolExecutor", "Threads"]
