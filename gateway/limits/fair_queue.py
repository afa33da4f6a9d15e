"""A bounded queue before an exhausted limit, fair between the callers of a project (round robin).

Only the head of the queue retries; the others sleep. A caller with many queued requests gets no more turns than a
caller with one. When the queue is full, the newest request of the caller with the most queued requests is rejected.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.limits.backend import LimitResult

Attempt = Callable[[], Awaitable[LimitResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Maximum number of requests that wait for one limit of one subject, and maximum wait of each (seconds)."""

    size: int
    seconds: float


class QueueFullError(Exception):
    """The limit was not granted in time, or the queue is full."""


@dataclass(slots=True, eq=False)
class _Waiter:
    caller_id: str
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False


class _Queue:
    """Waiters by caller, in the order of the callers' turns."""

    def __init__(self) -> None:
        self.waiters: dict[str, deque[_Waiter]] = {}
        self.size = 0
        self.changed = asyncio.Event()

    def join(self, caller_id: str, max_size: int) -> _Waiter | None:
        """Adds a waiter; None if the queue is full and no other caller has more waiters than this one."""
        if self.size >= max_size and not self._make_space(caller_id):
            return None
        waiter = _Waiter(caller_id)
        self.waiters.setdefault(caller_id, deque()).append(waiter)
        self.size += 1
        if self.size == 1:
            waiter.turn.set()
        return waiter

    def remove(self, waiter: _Waiter) -> None:
        """Removes a waiter; if it was the head, the next caller gets its turn."""
        own = self.waiters.get(waiter.caller_id)
        if own is None or waiter not in own:
            return
        own.remove(waiter)
        self.size -= 1
        had_its_turn = waiter.turn.is_set()
        if not own or had_its_turn:
            del self.waiters[waiter.caller_id]
        if own and had_its_turn:
            # The caller has more waiters: they go to the end of the turns.
            self.waiters[waiter.caller_id] = own
        if had_its_turn and self.size:
            next(iter(self.waiters.values()))[0].turn.set()

    def _make_space(self, caller_id: str) -> bool:
        if not self.size:
            return False
        largest = max(self.waiters.values(), key=len)
        if len(largest) <= len(self.waiters.get(caller_id, ())) + 1 or largest[-1].turn.is_set():
            return False
        last = largest.pop()
        self.size -= 1
        last.dropped = True
        last.turn.set()
        return True


class FairQueue:
    """The queues of this process, one for each limit of a subject that requests wait for."""

    def __init__(self, on_change: Callable[[int], None] = lambda _change: None) -> None:
        """`on_change` is called with +1 for each request that begins to wait, and with -1 when it ends."""
        self._queues: dict[str, _Queue] = {}
        self._on_change = on_change

    async def wait_for(self, key: str, caller_id: str, attempt: Attempt, limits: QueueLimits) -> LimitResult:
        """Waits until the limit grants something, and returns that result.

        Args:
            key: the limit that is waited for.
            caller_id: the caller, for the order of turns.
            attempt: asks the backend, and takes what the limit grants.
            limits: bounds of the queue and of this wait.

        Raises:
            QueueFullError: the wait would be, or was, too long, or the queue is full.
        """
        queue = self._queues.get(key)
        if queue is None or not queue.size:
            result = await attempt()
            if result.granted:
                return result
            if result.wait_seconds > limits.seconds or not limits.size:
                raise QueueFullError
        queue = self._queues.setdefault(key, _Queue())
        waiter = queue.join(caller_id, limits.size)
        if waiter is None:
            raise QueueFullError
        self._on_change(1)
        try:
            return await self._wait(queue, waiter, attempt, limits)
        finally:
            self._on_change(-1)
            queue.remove(waiter)
            if not queue.size and self._queues.get(key) is queue:
                del self._queues[key]

    def is_waited_for(self, key: str) -> bool:
        """Whether requests wait for a limit: another one must not overtake them."""
        return key in self._queues

    def changed(self, key: str) -> None:
        """Wakes the head of a queue: something was released, so it retries at once."""
        if key in self._queues:
            self._queues[key].changed.set()

    @staticmethod
    async def _wait(queue: _Queue, waiter: _Waiter, attempt: Attempt, limits: QueueLimits) -> LimitResult:
        deadline = asyncio.get_running_loop().time() + limits.seconds
        try:
            async with asyncio.timeout_at(deadline):
                await waiter.turn.wait()
        except TimeoutError:
            raise QueueFullError from None
        while not waiter.dropped:
            queue.changed.clear()
            result = await attempt()
            if result.granted:
                return result
            left = deadline - asyncio.get_running_loop().time()
            if result.wait_seconds > left:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(result.wait_seconds):
                    await queue.changed.wait()
        raise QueueFullError
