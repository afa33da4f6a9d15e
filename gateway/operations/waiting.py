"""Callers that wait for the end of an operation: one query at each interval tells all of them.

A query for each caller would let one project keep the database busy for all others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from operations.store.errors import DatabaseUnavailableError

INTERVAL_SECONDS = 0.2
# Ids in one query.
BATCH = 500

FinishedAmong = Callable[[Collection[str]], Awaitable[frozenset[str]]]


class WaitingCallers:
    """Wakes callers when their operations have ended; for one event loop."""

    def __init__(self, finished_among: FinishedAmong, interval_seconds: float = INTERVAL_SECONDS) -> None:
        """`finished_among`: those of the operations that have ended; may raise DatabaseUnavailableError."""
        self._finished_among = finished_among
        self._interval_seconds = interval_seconds
        self._waiting: dict[str, set[asyncio.Future[bool]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def finished_within(self, operation_id: str, seconds: float) -> bool:
        """Whether an operation ends in time; False as well if the database does not answer."""
        caller: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(operation_id, set()).add(caller)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                return await caller
        except TimeoutError:
            return False
        finally:
            self._waiting[operation_id].discard(caller)
            if not self._waiting[operation_id]:
                del self._waiting[operation_id]

    async def _poll(self) -> None:
        try:
            while self._waiting:
                ids = list(self._waiting)
                for start in range(0, len(ids), BATCH):
                    for operation_id in await self._finished_among(ids[start : start + BATCH]):
                        self._tell(operation_id, ended=True)
                await asyncio.sleep(self._interval_seconds)
        except DatabaseUnavailableError:
            for operation_id in list(self._waiting):
                self._tell(operation_id, ended=False)
        finally:
            self._polling = None

    def _tell(self, operation_id: str, *, ended: bool) -> None:
        for caller in self._waiting.get(operation_id, ()):
            if not caller.done():
                caller.set_result(ended)
