"""The books: what each account has used. Here in the memory of one process; `redis_backend.py` keeps them for all."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.limits.token_bucket import Level, Rate, open_for, usage, wait_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the books answer.

    Attributes:
        granted: whether it was taken.
        usage: how much of the limit is used, in the limit's own unit.
        wait_seconds: when asking again makes sense.
        remaining: what could still be taken at once.
    """

    granted: bool
    usage: float
    wait_seconds: float = 0.0
    remaining: float = 0.0


class Ledger(Protocol):
    """Books of accounts. No method raises: books that cannot be reached are kept here instead."""

    async def draw(self, account: str, meter: str, rate: Rate, amount: float) -> Reading:
        """Takes an amount out of a bucket, if it is open. A negative amount gives back; 0 only looks."""
        ...

    async def enter(self, account: str, call: str, limit: int) -> Reading:
        """Takes a place for a call, if one of `limit` is free."""
        ...

    async def leave(self, account: str, call: str) -> None:
        """Gives the place of a call back, if it has one."""
        ...

    async def present(self, account: str, limit: int) -> Reading:
        """How many places are taken; takes none."""
        ...


# Asking for a place again before one has become free here: another process may have given one back.
ASK_AGAIN_SECONDS = 0.05


# Buckets are dropped when they are full again; they are looked through when there are more than this.
_MANY_BUCKETS = 1_024


class LocalLedger:
    """The books of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[tuple[str, str], tuple[Level, Rate]] = {}
        self._most_levels = _MANY_BUCKETS
        self._places: dict[str, set[str]] = {}

    async def draw(self, account: str, meter: str, rate: Rate, amount: float) -> Reading:
        return self.draw_now(account, meter, rate, amount)

    def draw_now(self, account: str, meter: str, rate: Rate, amount: float) -> Reading:
        """`draw`, which waits for nothing."""
        now = self._clock()
        kept = self._levels.get((account, meter))
        level = Level(amount=rate.capacity, at=now) if kept is None else kept[0].later(rate, now)
        granted = amount < 0 or open_for(level.amount)
        if granted and amount:
            level = Level(amount=min(rate.capacity, level.amount - amount), at=now)
        self._levels[account, meter] = level, rate
        if len(self._levels) > self._most_levels:
            self._drop_full(now)
        return read(granted, level.amount, rate)

    def _drop_full(self, now: float) -> None:
        """Each caller that has read an object has a bucket; one that is full says nothing."""
        self._levels = {
            key: (level, rate)
            for key, (level, rate) in self._levels.items()
            if level.later(rate, now).amount < rate.capacity
        }
        self._most_levels = max(_MANY_BUCKETS, 2 * len(self._levels))

    async def enter(self, account: str, call: str, limit: int) -> Reading:
        return self.enter_now(account, call, limit)

    def enter_now(self, account: str, call: str, limit: int) -> Reading:
        """`enter`, which waits for nothing."""
        places = self._places.setdefault(account, set())
        granted = call in places or len(places) < limit
        if granted:
            places.add(call)
        elif not places:
            del self._places[account]
        return places_read(granted, len(places), limit)

    async def leave(self, account: str, call: str) -> None:
        self.leave_now(account, call)

    def leave_now(self, account: str, call: str) -> None:
        """`leave`, which waits for nothing."""
        places = self._places.get(account, set())
        places.discard(call)
        if not places:
            self._places.pop(account, None)

    async def present(self, account: str, limit: int) -> Reading:
        return places_read(False, len(self._places.get(account, ())), limit)

    def calls(self) -> dict[str, list[str]]:
        """The calls that have places, by account."""
        return {account: sorted(calls) for account, calls in self._places.items()}


def read(granted: bool, level: float, rate: Rate) -> Reading:
    """The reading of a bucket that now holds `level`."""
    return Reading(
        granted=granted,
        usage=usage(level, rate),
        wait_seconds=0.0 if granted else wait_seconds(level, rate),
        remaining=max(0.0, level),
    )


def places_read(granted: bool, taken: int, limit: int) -> Reading:
    """The reading of places of which so many are taken now."""
    return Reading(
        granted=granted,
        usage=taken,
        wait_seconds=0.0 if granted else ASK_AGAIN_SECONDS,
        remaining=max(0, limit - taken),
    )
