"""Whether leases that have ended by the database's clock have ended."""

import pytest

from operations.lease_clock import LeaseClock

LEASE = 30.0


class Clocks:
    """The database's clock and the process's own."""

    def __init__(self) -> None:
        self.database, self.own = 1_800_000_000.0, 5.0
        self.leases = LeaseClock(LEASE, monotonic=lambda: self.own)

    def after(self, seconds: float, *, step: float = 0) -> bool:
        self.own += seconds
        self.database += seconds + step
        return self.leases.can_be_trusted(int(self.database * 1000))


@pytest.mark.parametrize("step", [3_600, -3_600, LEASE])
def test_after_a_step_no_lease_is_judged_until_its_holder_has_had_time_to_renew_it(step):
    clocks = Clocks()
    assert clocks.after(5)
    assert not clocks.after(5, step=step)
    assert not clocks.after(LEASE)
    assert clocks.after(5)


def test_each_step_begins_the_wait_anew():
    clocks = Clocks()
    assert clocks.after(5)
    assert not clocks.after(5, step=3_600)
    assert not clocks.after(20, step=-3_600)
    assert not clocks.after(20)
    assert clocks.after(20)


@pytest.mark.parametrize("step", [0, 1, -1, LEASE / 4])
def test_what_a_clock_may_be_corrected_by_is_no_step(step):
    clocks = Clocks()
    assert clocks.after(5)
    assert clocks.after(5, step=step)


def test_statement_that_waits_is_no_step():
    clocks = Clocks()
    assert clocks.after(5)
    assert clocks.after(10 * LEASE)
