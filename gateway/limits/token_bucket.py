"""A token bucket that may go into debt. Pure: time is an argument."""

from dataclasses import dataclass

# Minimum level at which anything may be taken. One call takes just that; an object takes its size, however large, and
# the next request waits until the debt is paid.
MIN_LEVEL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit per second.

    Attributes:
        per_second: refill rate.
        burst_seconds: how long an unused rate accumulates; the bucket holds that amount, at least one.
    """

    per_second: float
    burst_seconds: float

    @property
    def capacity(self) -> float:
        return max(MIN_LEVEL, self.per_second * self.burst_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Level of a bucket at a time (seconds of any clock); below zero: a debt."""

    amount: float
    at: float

    def later(self, rate: Rate, now: float) -> "Level":
        """The level at `now`. A clock that goes back fills nothing."""
        return Level(amount=min(rate.capacity, self.amount + max(0.0, now - self.at) * rate.per_second), at=now)


def open_for(level: float) -> bool:
    """Whether something may be taken from a bucket at this level."""
    return level >= MIN_LEVEL


def wait_seconds(level: float, rate: Rate) -> float:
    """Seconds until something may be taken."""
    return max(0.0, (MIN_LEVEL - level) / rate.per_second)


def usage(level: float, rate: Rate) -> float:
    """Average usage per second over the time that the bucket holds; above the rate: a debt."""
    return round((rate.capacity - level) / (rate.capacity / rate.per_second), 3)


def seconds_until_full(usage: float, rate: Rate) -> float:
    """Seconds until a bucket with this average usage is full again, if nothing is taken."""
    return max(0.0, usage) * rate.capacity / rate.per_second**2
