"""Schedules: days that exist, summer time, and no more than once per minute."""

import datetime as dt

import pytest

from tenancy.model.schedule import Schedule, ScheduleError, check_schedule, last_until, next_after

NOW = dt.datetime(2026, 11, 29, 17, 45, 30, tzinfo=dt.UTC)


def times(schedule: Schedule, start: dt.datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        moment = next_after(schedule, start)
        assert moment is not None
        found.append(moment.isoformat()[5:16])
        start = moment
    return found


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("* * * * * *", "five fields"),  # the sixth would be seconds
        ("* * * *", "five fields"),
        ("@hourly", "five fields"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("61 * * * *", "Bad minute"),
        ("* * * * " + "1," * 100, "five fields"),
        ("", "five fields"),
    ],
)
def test_expressions_that_name_no_time_are_refused(cron: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        check_schedule(Schedule(cron), NOW)


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "", "Europe", "x" * 65, "Zürich"]
)
def test_names_that_are_no_time_zones_are_refused(zone: str) -> None:
    with pytest.raises(ScheduleError, match="time zone"):
        check_schedule(Schedule("* * * * *", zone), NOW)


def test_every_minute_is_the_most() -> None:
    assert times(Schedule("* * * * *"), NOW, 2) == ["11-29T17:46", "11-29T17:47"]


def test_leap_day() -> None:
    found = next_after(Schedule("0 0 29 2 *"), NOW)
    assert found == dt.datetime(2028, 2, 29, tzinfo=dt.UTC)


def test_local_time_that_does_not_exist_comes_right_after_the_change_and_once() -> None:
    start = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
    assert times(Schedule("30 2 * * *", "Europe/Zurich"), start, 2) == ["03-29T01:00", "03-30T00:30"]


def test_local_time_that_exists_twice_comes_once_and_a_wildcard_follows_real_time() -> None:
    start = dt.datetime(2026, 10, 24, 23, tzinfo=dt.UTC)
    assert times(Schedule("30 2 * * *", "Europe/Zurich"), start, 2) == ["10-25T00:30", "10-26T01:30"]
    half_hours = times(Schedule("*/30 * * * *", "Europe/Zurich"), start, 4)
    assert half_hours == ["10-24T23:30", "10-25T00:00", "10-25T00:30", "10-25T01:00"]


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/30 * * * *", "30 2,3 * * *", "0 0 1 1 *"])
@pytest.mark.parametrize("start", ["2026-03-28T23:10", "2026-10-24T22:50", "2027-12-31T23:59"])
def test_the_last_time_until_a_time_is_this_time(cron: str, start: str) -> None:
    """Forwards and backwards name the same times, also around a change of the clock."""
    schedule, moment = Schedule(cron, "Europe/Zurich"), dt.datetime.fromisoformat(start + "+00:00")
    for _ in range(8):
        following = next_after(schedule, moment)
        assert following is not None
        assert last_until(schedule, following) == following
        assert last_until(schedule, following + dt.timedelta(seconds=59)) == following
        before = last_until(schedule, following - dt.timedelta(seconds=1))
        assert before is not None
        assert before < following
        moment = following
