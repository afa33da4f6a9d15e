"""Spans of an object that are read in parallel, and threads for parts of any work."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .errors import Stopped
from .pipeline import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .orders import SourceOrder

T = TypeVar("T")
Part = TypeVar("Part")
# For shorter spans, another connection costs more time than it saves.
LEAST_SPAN_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of an object from `start` to before `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def spans_of(order: SourceOrder, *, at_once: int, least: int = LEAST_SPAN_BYTES) -> tuple[Span, ...]:
    """The object in at most `at_once` spans of nearly the same length, none shorter than `least`.

    It is one span if a digest cannot be combined from those of parts, or if there is no ETag, without which nothing
    proves that the parts are of the same object.
    """
    divisible = order.etag is not None and all(algorithm.join for algorithm in order.algorithms)
    count = max(1, min(at_once, order.size // least)) if divisible else 1
    ends = [order.size * number // count for number in range(count + 1)]
    return tuple(map(Span, ends, ends[1:]))


def on_threads(work: Callable[[Part, Stop], T], parts: Sequence[Part], stop: Stop) -> list[T]:
    """Runs `work` on all parts in parallel, the first on this thread; returns the results in order.

    Raises:
        Stopped: `stop` was stopped.
        Exception: the first failure; it stops the others, and is raised when all threads have ended.
    """
    stop_all = Stop()
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results[number] = work(parts[number], stop_all)
        except BaseException as failure:  # noqa: BLE001 - kept for the caller, who waits for all threads first
            failures.append(failure)
            stop_all.stop()

    stop.watch(stop_all.stop)
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(1, len(parts))]
    try:
        for thread in threads:
            thread.start()
        run(0)
        for thread in threads:
            thread.join()
    finally:
        stop.unwatch(stop_all.stop)
    stop.check()
    if failures:
        raise next((failure for failure in failures if not isinstance(failure, Stopped)), failures[0])
    return [results[number] for number in range(len(parts))]
