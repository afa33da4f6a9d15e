"""A work queue with client-go's semantics: deduplication, one worker per name at a time, exponential backoff."""

import heapq
import threading
import time
from collections.abc import Callable

FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 60.0


class WorkQueue:
    """A thread-safe queue of names, each with the time at which it is due."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._again: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._closed = False

    def add(self, name: str, after: float = 0.0) -> None:
        """Enqueues `name` for `after` seconds from now; an earlier due time is kept."""
        with self._changed:
            at = self._clock() + after
            if name in self._running:
                self._again[name] = min(at, self._again.get(name, at))
            else:
                self._schedule(name, at)

    def get(self) -> str | None:
        """Waits for the next name and takes it; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
                    heapq.heappop(self._heap)
                wait = self._heap[0][0] - self._clock() if self._heap else None
                if wait is not None and wait <= 0:
                    _, name = heapq.heappop(self._heap)
                    del self._due[name]
                    self._running.add(name)
                    return name
                self._changed.wait(wait)
            return None

    def done(self, name: str, again_after: float | None = None) -> None:
        """Marks `name` as processed and resets its backoff."""
        with self._changed:
            self._failures.pop(name, None)
            self._finish(name, again_after)

    def failed(self, name: str) -> float:
        """Requeues `name` with exponential backoff; returns the delay in seconds."""
        with self._changed:
            count = self._failures[name] = self._failures.get(name, 0) + 1
            delay = min(FIRST_RETRY_SECONDS * 2.0 ** min(count - 1, 16), MAX_RETRY_SECONDS)
            # Changes in the meantime do not shorten the backoff.
            self._again.pop(name, None)
            self._finish(name, delay)
            return delay

    def close(self) -> None:
        """Closes the queue and wakes all waiting threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _finish(self, name: str, after: float | None) -> None:
        self._running.discard(name)
        times = [self._again.pop(name)] if name in self._again else []
        if after is not None:
            times.append(self._clock() + after)
        if times:
            self._schedule(name, min(times))

    def _schedule(self, name: str, at: float) -> None:
        if at < self._due.get(name, float("inf")):
            self._due[name] = at
            heapq.heappush(self._heap, (at, name))
            self._changed.notify()
