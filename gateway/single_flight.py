"""Single flight: concurrent calls with the same key share one execution and its result."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class StillRunningError(Exception):
    """The work takes longer than this caller can wait, and continues."""


class AbandonedError(Exception):
    """The caller who led this work has left it; another one has to start it."""


@dataclass(slots=True)
class _Flight(Generic[Value]):
    task: asyncio.Future[Value]
    waiters: int = 0
    promised: bool = False
    awaited_again: bool = False
    begun: bool = False

    @property
    def outlives_its_callers(self) -> bool:
        return self.promised or (self.awaited_again and self.begun)


class SingleFlight(Generic[Key, Value]):
    """Joins concurrent calls with the same key.

    The work runs in a separate task: if a caller disconnects, the others still get the result; if the last one
    disconnects, the work is cancelled. A caller whose wait times out is told to repeat the request, so the work
    continues even if nobody waits. It also continues after a caller who is known to repeat requests, once it has begun:
    what is only queued is cancelled. Results are not kept after the end: caches do that.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[Value]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._flights

    def begun(self, key: Key) -> None:
        """Marks the work under `key` as begun: it waits for nothing any more."""
        flight = self._flights.get(key)
        if flight is not None:
            flight.begun = True

    async def run(
        self,
        key: Key,
        start: Callable[[], Awaitable[Value]],
        *,
        wait_seconds: float | None = None,
        returning: bool = False,
    ) -> Value:
        """The result of the work under `key`, which is started here unless it is running; raises its exceptions.

        Args:
            key: of the work.
            start: starts it.
            wait_seconds: maximum wait.
            returning: the caller repeats the request if it disconnects before the result.

        Raises:
            StillRunningError: the work did not end within `wait_seconds`, and continues.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.ensure_future(_awaited(start)))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiters += 1
        flight.awaited_again |= returning
        try:
            await asyncio.wait([flight.task], timeout=wait_seconds)
            if not flight.task.done():
                flight.promised = True
                raise StillRunningError
            return flight.task.result()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.outlives_its_callers and not flight.task.done():
                # Newcomers must not join work that is being cancelled.
                self._forget(key, flight)
                flight.task.cancel()

    @contextlib.contextmanager
    def leading(self, keys: Sequence[Key]) -> Iterator[Sequence[asyncio.Future[Value]]]:
        """A future for each key, for work that is done in the block and whose results others may join.

        Futures that have no result at the end of the block fail with `AbandonedError`, in those who joined.

        Args:
            keys: none of them twice, and none that is running (`in`).
        """
        loop = asyncio.get_running_loop()
        flights = [_Flight[Value](loop.create_future(), promised=True) for _ in keys]
        for key, flight in zip(keys, flights, strict=True):
            assert key not in self._flights
            self._flights[key] = flight
        try:
            yield [flight.task for flight in flights]
        finally:
            for key, flight in zip(keys, flights, strict=True):
                if not flight.task.done():
                    flight.task.set_exception(AbandonedError())
                self._forget(key, flight)

    def _forget(self, key: Key, flight: _Flight[Value]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # marks it as retrieved: the waiters have it already


async def _awaited(start: Callable[[], Awaitable[Value]]) -> Value:
    return await start()
