"""Limit backends: usage of each subject. In the memory of one process here; shared in `redis_backend.py`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.limits.token_bucket import Level, Rate, open_for, usage, wait_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitResult:
    """Result of a request to a limit backend.

    Attributes:
        granted: whether the amount or slot was taken.
        usage: current usage, in the limit's own unit.
        wait_seconds: when to try again.
        remaining: what can still be taken now.
    """

    granted: bool
    usage: float
    wait_seconds: float = 0.0
    remaining: float = 0.0


class LimitBackend(Protocol):
    """Usage of limits by subject. No method raises: when a store is unreachable, the process counts by itself."""

    async def consume(self, subject: str, bucket: str, rate: Rate, amount: float) -> LimitResult:
        """Takes an amount out of a bucket, if its level allows it. A negative amount refunds; 0 only reads."""
        ...

    async def acquire_slot(self, subject: str, call: str, limit: int) -> LimitResult:
        """Takes a slot for a call, if one of `limit` is free."""
        ...

    async def release_slot(self, subject: str, call: str) -> None:
        """Releases the slot of a call, if it has one."""
        ...

    async def slots_in_use(self, subject: str, limit: int) -> LimitResult:
        """Number of slots in use; takes none."""
        ...


# Another process may have released a slot, so a waiter polls even if none was released here.
POLL_SECONDS = 0.05


# Full buckets are dropped; they are searched for when there are more buckets than this.
_MANY_BUCKETS = 1_024


class InMemoryLimitBackend:
    """Usage in the memory of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[tuple[str, str], tuple[Level, Rate]] = {}
        self._max_levels = _MANY_BUCKETS
        self._slots: dict[str, set[str]] = {}

    async def consume(self, subject: str, bucket: str, rate: Rate, amount: float) -> LimitResult:
        return self.consume_now(subject, bucket, rate, amount)

    def consume_now(self, subject: str, bucket: str, rate: Rate, amount: float) -> LimitResult:
        """Synchronous `consume`."""
        now = self._clock()
        kept = self._levels.get((subject, bucket))
        level = Level(amount=rate.capacity, at=now) if kept is None else kept[0].later(rate, now)
        granted = amount < 0 or open_for(level.amount)
        if granted and amount:
            level = Level(amount=min(rate.capacity, level.amount - amount), at=now)
        self._levels[subject, bucket] = level, rate
        if len(self._levels) > self._max_levels:
            self._drop_full(now)
        return bucket_result(granted, level.amount, rate)

    def _drop_full(self, now: float) -> None:
        """Drops full buckets: each caller that has read an object has one, and a full bucket carries no information."""
        self._levels = {
            key: (level, rate)
            for key, (level, rate) in self._levels.items()
            if level.later(rate, now).amount < rate.capacity
        }
        self._max_levels = max(_MANY_BUCKETS, 2 * len(self._levels))

    async def acquire_slot(self, subject: str, call: str, limit: int) -> LimitResult:
        return self.acquire_slot_now(subject, call, limit)

    def acquire_slot_now(self, subject: str, call: str, limit: int) -> LimitResult:
        """Synchronous `acquire_slot`."""
        slots = self._slots.setdefault(subject, set())
        granted = call in slots or len(slots) < limit
        if granted:
            slots.add(call)
        elif not slots:
            del self._slots[subject]
        return slot_result(granted, len(slots), limit)

    async def release_slot(self, subject: str, call: str) -> None:
        self.release_slot_now(subject, call)

    def release_slot_now(self, subject: str, call: str) -> None:
        """Synchronous `release_slot`."""
        slots = self._slots.get(subject, set())
        slots.discard(call)
        if not slots:
            self._slots.pop(subject, None)

    async def slots_in_use(self, subject: str, limit: int) -> LimitResult:
        return slot_result(False, len(self._slots.get(subject, ())), limit)

    def calls(self) -> dict[str, list[str]]:
        """The calls that hold slots, by subject."""
        return {subject: sorted(calls) for subject, calls in self._slots.items()}


def bucket_result(granted: bool, level: float, rate: Rate) -> LimitResult:
    """The result for a bucket at `level`."""
    return LimitResult(
        granted=granted,
        usage=usage(level, rate),
        wait_seconds=0.0 if granted else wait_seconds(level, rate),
        remaining=max(0.0, level),
    )


def slot_result(granted: bool, taken: int, limit: int) -> LimitResult:
    """The result for slots of which `taken` are in use."""
    return LimitResult(
        granted=granted,
        usage=taken,
        wait_seconds=0.0 if granted else POLL_SECONDS,
        remaining=max(0, limit - taken),
    )
