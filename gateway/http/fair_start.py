"""Fair queueing of new requests: the event loop starts a few per iteration, however many arrive at once.

The queue is round robin by project, so a burst of one project delays its own requests before those of others. All
requests whose token is not known share one turn. A request whose connection has ended before its start is dropped, so
no more of them wait than connections are open.

A call takes several iterations of the loop, and in each of them it waits for the other work of that iteration. So two
more rules protect projects that send few requests from one that sends many. A request of a project with none in the
queue starts at once. And for a second afterwards, the queue starts one request in several iterations.
"""

import asyncio
from collections import deque
from collections.abc import Callable

# More make other projects wait longer (a request costs about a millisecond), fewer save nothing.
STARTS_PER_ITERATION = 2
# Iterations between two starts from the queue while another project is protected. An iteration with nothing to do
# takes some 20 µs, so this costs the project with the queue a few percent of its throughput.
PACED_ITERATIONS = 4
# How long the queue is paced after a request has overtaken it.
PACED_SECONDS = 1.0
# Requests that overtake the queue, per iteration: each is the only one of its project, but there may be many projects.
OVERTAKING_PER_ITERATION = 4

Begin = Callable[[], None]
Gone = Callable[[], bool]


class FairStart:
    """Starts the requests of one event loop: at once, or in turns by subject if many arrive together."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[Begin, Gone]]] = {}
        self._left = STARTS_PER_ITERATION
        self._may_overtake = OVERTAKING_PER_ITERATION
        # Iterations until a paced queue may start a request.
        self._pause = 0
        self._paced_until = 0.0
        # Subjects that have overtaken the queue, with the iterations until they may do so again.
        self._overtook: dict[str, int] = {}
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
            subject: whose turn it takes; asked only if it would have to wait.
            begin: returns at once.
            loop: the running one.
            gone: whether the connection has ended.
        """
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next_iteration, loop)
        if self._left and not self._queues:
            self._count_start()
            begin()
            return
        name = subject()
        if self._overtakes(name, loop):
            self._may_overtake -= 1
            self._overtook[name] = PACED_ITERATIONS
            if self._queues:
                self._paced_until = loop.time() + PACED_SECONDS
            begin()
        else:
            self._queues.setdefault(name, deque()).append((begin, gone))

    def _overtakes(self, name: str, loop: asyncio.AbstractEventLoop) -> bool:
        beside_others = bool(self._queues) or loop.time() < self._paced_until
        return beside_others and self._may_overtake > 0 and name not in self._queues and name not in self._overtook

    def _count_start(self) -> None:
        self._left -= 1
        self._pause = PACED_ITERATIONS

    def _next_iteration(self, loop: asyncio.AbstractEventLoop) -> None:
        self._may_overtake = OVERTAKING_PER_ITERATION
        self._overtook = {name: left - 1 for name, left in self._overtook.items() if left > 1}
        self._pause = max(0, self._pause - 1)
        paced = loop.time() < self._paced_until
        self._left = STARTS_PER_ITERATION if not paced else 0 if self._pause else 1
        self._drop_gone()
        while self._left and self._queues:
            subject = next(iter(self._queues))
            queue = self._queues.pop(subject)
            begin, gone = queue.popleft()
            if queue:
                self._queues[subject] = queue
            if not gone():
                self._count_start()
                # Not called here: an error of one request may not keep the others waiting.
                loop.call_soon(begin)
        self._scheduled = bool(self._queues or self._pause or self._overtook)
        if self._scheduled:
            loop.call_soon(self._next_iteration, loop)
        else:
            self._left = STARTS_PER_ITERATION

    def _drop_gone(self) -> None:
        for subject, queue in tuple(self._queues.items()):
            while queue and queue[0][1]():
                queue.popleft()
            if not queue:
                del self._queues[subject]
