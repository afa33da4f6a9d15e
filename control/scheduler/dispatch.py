"""Runs what is due: a bounded number at once, fair between projects."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any

from control.scheduler.agenda import Due, Key


class Dispatcher:
    """Runs firings. Round robin over projects: many schedules of one delay no other, and none has more than its share.

    Each trigger waits or runs at most once, so what waits is bounded by the triggers.
    """

    def __init__(
        self,
        run: Callable[[Due], Coroutine[Any, Any, None]],
        skip: Callable[[Due], Coroutine[Any, Any, None]],
        *,
        concurrency: int,
        per_project: int,
    ) -> None:
        """Starts nothing.

        Args:
            run: fires.
            skip: is called for a time that comes while the trigger still waits or runs.
            concurrency: maximum number of firings at once.
            per_project: the same for one project.
        """
        self._run = run
        self._skip = skip
        self._concurrency = concurrency
        self._per_project = per_project
        self._waiting: OrderedDict[str, deque[Due]] = OrderedDict()
        self._busy: set[Key] = set()
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, due: Due) -> None:
        """Runs it now or later."""
        namespace, key = due.record.namespace, (due.record.namespace, due.record.object_name)
        if key in self._busy:
            self._start(self._skip(due))
            return
        self._busy.add(key)
        self._waiting.setdefault(namespace, deque()).append(due)
        self._pump()

    async def close(self) -> None:
        """Cancels what runs; nothing waits any more."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _pump(self) -> None:
        while self._running.total() < self._concurrency:
            namespace = next((each for each in self._waiting if self._running[each] < self._per_project), None)
            if namespace is None:
                return
            due = self._waiting[namespace].popleft()
            if self._waiting[namespace]:
                self._waiting.move_to_end(namespace)
            else:
                del self._waiting[namespace]
            self._running[namespace] += 1
            self._start(self._one(due))

    async def _one(self, due: Due) -> None:
        namespace = due.record.namespace
        try:
            await self._run(due)
        finally:
            self._running[namespace] -= 1
            if not self._running[namespace]:
                del self._running[namespace]
            self._busy.discard((namespace, due.record.object_name))
            self._pump()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
