"""The token bucket."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.token_bucket import Level, Rate, open_for, usage, wait_seconds

RATE = Rate(per_second=10, burst_seconds=2)


def test_more_than_the_burst_is_not_kept() -> None:
    assert Level(amount=5, at=0).later(RATE, 100).amount == RATE.capacity == 20


def test_clock_that_goes_back_fills_nothing() -> None:
    assert Level(amount=5, at=100).later(RATE, 50).amount == 5


def test_slow_rate_still_holds_one() -> None:
    assert Rate(per_second=1, burst_seconds=0.1).capacity == 1


def test_debt_is_waited_for_and_shows_as_usage_above_the_limit() -> None:
    assert not open_for(-99)
    assert wait_seconds(-99, RATE) == 10
    assert usage(-99, RATE) > 10


def test_full_bucket_is_no_usage_and_an_empty_one_is_the_limit() -> None:
    assert usage(20, RATE) == 0
    assert usage(0, RATE) == 10


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3)), min_size=1, max_size=200),
    st.integers(1, 50),
    st.floats(0.1, 5),
)
def test_no_more_is_taken_than_the_burst_and_what_flows_in_and_one_debt(
    steps: list[tuple[float, int]], per_second: int, burst: float
) -> None:
    """Whatever the times and amounts."""
    rate = Rate(per_second=per_second, burst_seconds=burst)
    level, now, taken = Level(amount=rate.capacity, at=0), 0.0, 0
    for pause, amount in steps:
        now += pause
        level = level.later(rate, now)
        if open_for(level.amount):
            level = Level(amount=level.amount - amount, at=now)
            taken += amount
    assert taken <= rate.capacity + now * per_second + 3
