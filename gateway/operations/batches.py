"""One transaction for all calls that have come while the one before was committed."""

import asyncio
import itertools

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
        self._waiting: dict[asyncio.Future[Operation], NewOperation] = {}
        self._task: asyncio.Task[None] | None = None

    async def accept(self, new: NewOperation) -> Operation:
        """The operation, committed.

        Raises:
            StoreError: as `operations.store.accepting.accept`, and DatabaseUnavailableError.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise DatabaseUnavailableError("too many operations wait for the database")
        stored: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()
        self._waiting[stored] = new
        if self._task is None:
            self._task = asyncio.create_task(self._store())
        try:
            return await stored
        finally:
            # If the caller has left, its slot is free again: it must not keep a place here.
            self._waiting.pop(stored, None)

    async def _store(self) -> None:
        while self._waiting:
            portion = dict(itertools.islice(self._waiting.items(), _MOST))
            for stored in portion:
                del self._waiting[stored]
            try:
                outcomes = await self._database.run(accept_all, list(portion.values()))
            except DatabaseUnavailableError as error:
                # An error of its own for each: its caller may change it.
                outcomes = [DatabaseUnavailableError(*error.args) for _ in portion]
            except Exception as error:  # noqa: BLE001 - each caller gets it
                outcomes = [error for _ in portion]
            for stored, outcome in zip(portion, outcomes, strict=True):
                # The caller may have left.
                if stored.done():
                    continue
                if isinstance(outcome, Exception):
                    stored.set_exception(outcome)
                else:
                    stored.set_result(outcome)
        self._task = None
