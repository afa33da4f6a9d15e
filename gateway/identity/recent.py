"""What was learnt within the last seconds, in bounded space. It is read on every call, so it is a plain dictionary.

Everything is kept equally long, so the oldest is first in the dictionary and the first to become stale: nothing has to
be moved when it is read, which is most of what a general cache costs.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, each for so many seconds; the oldest goes when there are too many."""

    def __init__(self, entries: int, seconds: float, stopwatch: Callable[[], float]) -> None:
        self._entries = entries
        self._seconds = seconds
        self._stopwatch = stopwatch
        self._kept: dict[str, tuple[float, Value]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Value | None:
        """The value, if it is recent."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and self._stopwatch() < kept[0] else None

    def keep(self, key: str, value: Value) -> None:
        """Keeps a value from now on, and drops what is stale or too much."""
        now = self._stopwatch()
        self._kept.pop(key, None)
        self._kept[key] = now + self._seconds, value
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= self._entries and now < self._kept[oldest][0]:
                break
            del self._kept[oldest]

    def forget(self, key: str) -> None:
        """Drops a value, if there is one."""
        self._kept.pop(key, None)
