"""How long tests wait: with the speed of the machine at the start of a run, and with its load later."""

import os
import time

import pytest

from tests import machine


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(time, "sleep", made.sleep)
    monkeypatch.setenv(machine.VARIABLE, "1.00")
    monkeypatch.setattr(machine, "_seconds_of_work", lambda: machine.REFERENCE_SECONDS)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    return made


def test_event_that_does_not_come_is_said_with_the_time_that_it_had(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="the end did not come in 60 s"):
        machine.wait_until(lambda: False, what="the end")


@pytest.mark.parametrize("what", ["load", "speed"])
def test_event_has_more_time_if_the_machine_has_become_slower(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "load":
        monkeypatch.setattr(os, "getloadavg", lambda: (3.0 * (os.cpu_count() or 1), 0.0, 0.0))
    else:
        monkeypatch.setattr(machine, "_seconds_of_work", lambda: 3 * machine.REFERENCE_SECONDS)
    machine.wait_until(lambda: clock.now > 150)
    clock.now = 0
    with pytest.raises(AssertionError, match="180 s"):
        machine.wait_until(lambda: False)


def test_times_that_belong_together_stay_as_they_were_at_the_start(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.0, 0.0))
    assert machine.scaled(2) == 2
