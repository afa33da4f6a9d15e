"""Fair queueing of new requests: the event loop starts a few per iteration, however many arrive at once.

The queue is round robin by project, so a burst of one project delays its own requests before those of others. All
requests whose token is not known share one turn. A request whose connection has ended before its start is dropped, so
no more of them wait than connections are open.
"""

import asyncio
from collections import deque
from collections.abc import Callable

# More make other projects wait longer (a request costs about a millisecond), fewer save nothing.
STARTS_PER_ITERATION = 2

Begin = Callable[[], None]
Gone = Callable[[], bool]


class FairStart:
    """Starts the requests of one event loop: at once, or in turns by subject if many arrive together."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[Begin, Gone]]] = {}
        self._left = STARTS_PER_ITERATION
        self._scheduled = False

    @property
    def waiting(self) -> int:
        """How many requests have not been started."""
        return sum(map(len, self._queues.values()))

    def start(
        self, subject: Callable[[], str], begin: Begin, loop: asyncio.AbstractEventLoop, *, gone: Gone = lambda: False
    ) -> None:
        """Calls `begin` now or in a later iteration of the loop.

        Args:
            subject: whose turn it takes; asked only if it has to wait.
            begin: returns at once.
            loop: the running one.
            gone: whether the connection has ended.
        """
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next_iteration, loop)
        if self._left and not self._queues:
            self._left -= 1
            begin()
        else:
            self._queues.setdefault(subject(), deque()).append((begin, gone))

    def _next_iteration(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = STARTS_PER_ITERATION
        while self._left and self._queues:
            subject = next(iter(self._queues))
            queue = self._queues.pop(subject)
            begin, gone = queue.popleft()
            if queue:
                self._queues[subject] = queue
            if not gone():
                self._left -= 1
                # Not called here: an error of one request may not keep the others waiting.
                loop.call_soon(begin)
        self._scheduled = self._left < STARTS_PER_ITERATION
        if self._scheduled:
            loop.call_soon(self._next_iteration, loop)
