"""A token bucket that may go into debt. Pure: time is told to it."""

from dataclasses import dataclass

# What has to be in the bucket for anything to be taken. One call takes just that; an object takes its size, however
# large, and whoever comes next waits until the debt is paid.
LEAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit per second.

    Attributes:
        per_second: what flows in.
        burst_seconds: for how long an unused rate is kept: the bucket holds that much, and one at least.
    """

    per_second: float
    burst_seconds: float

    @property
    def capacity(self) -> float:
        return max(LEAST, self.per_second * self.burst_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a bucket holds at a time (seconds of any clock); below zero: a debt."""

    amount: float
    at: float

    def later(self, rate: Rate, now: float) -> "Level":
        """The level at `now`. A clock that goes back fills nothing."""
        return Level(amount=min(rate.capacity, self.amount + max(0.0, now - self.at) * rate.per_second), at=now)


def open_for(level: float) -> bool:
    """Whether something may be taken from a bucket that holds this much."""
    return level >= LEAST


def wait_seconds(level: float, rate: Rate) -> float:
    """How long until something may be taken."""
    return max(0.0, (LEAST - level) / rate.per_second)


def usage(level: float, rate: Rate) -> float:
    """What was used per second, averaged over the time that the bucket holds; above the rate: a debt."""
    return round((rate.capacity - level) / (rate.capacity / rate.per_second), 3)
