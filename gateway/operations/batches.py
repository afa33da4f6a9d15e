"""One transaction for all calls that have come while the one before was committed."""

import asyncio

from operations.store.batches import accept_all
from operations.store.database import Database
from operations.store.errors import DatabaseUnavailableError
from operations.store.model import NewOperation, Operation

# In one transaction. Their bodies are in memory anyway.
_MOST = 64
# More are rejected at once: the database is too slow for them.
_MOST_WAITING = 2 * _MOST


class Acceptances:
    """Stores operations. One transaction at a time: under load each has more of them, and a call costs less."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[NewOperation, asyncio.Future[Operation]]] = []
        self._task: asyncio.Task[None] | None = None

    async def accept(self, new: NewOperation) -> Operation:
        """The operation, committed.

        Raises:
            StoreError: as `operations.store.accepting.accept`, and DatabaseUnavailableError.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise DatabaseUnavailableError("too many operations wait for the database")
        stored: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, stored))
        if self._task is None:
            self._task = asyncio.create_task(self._store())
        return await stored

    async def _store(self) -> None:
        while self._waiting:
            portion, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                outcomes = await self._database.run(accept_all, [new for new, _ in portion])
            except DatabaseUnavailableError as error:
                # An error of its own for each: its caller may change it.
                outcomes = [DatabaseUnavailableError(*error.args) for _ in portion]
            except Exception as error:  # noqa: BLE001 - each caller gets it
                outcomes = [error for _ in portion]
            for (_, stored), outcome in zip(portion, outcomes, strict=True):
                # The caller may have left.
                if stored.done():
                    continue
                if isinstance(outcome, Exception):
                    stored.set_exception(outcome)
                else:
                    stored.set_result(outcome)
        self._task = None
