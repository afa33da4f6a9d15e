"""A bounded cache with one time to live. It is read on every request, so it is a plain dictionary.

All entries live equally long, so the oldest is first in the dictionary and the first to expire: a read moves nothing,
which is most of the cost of a general cache.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key with a time to live; above the maximum, the oldest is evicted."""

    def __init__(self, entries: int, seconds: float, stopwatch: Callable[[], float]) -> None:
        self._entries = entries
        self._seconds = seconds
        self._stopwatch = stopwatch
        self._kept: dict[str, tuple[float, Value]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Value | None:
        """The value, if it has not expired."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and self._stopwatch() < kept[0] else None

    def keep(self, key: str, value: Value) -> None:
        """Stores a value, and evicts expired and surplus entries."""
        now = self._stopwatch()
        self._kept.pop(key, None)
        self._kept[key] = now + self._seconds, value
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= self._entries and now < self._kept[oldest][0]:
                break
            del self._kept[oldest]

    def forget(self, key: str) -> None:
        """Removes a value, if there is one."""
        self._kept.pop(key, None)
