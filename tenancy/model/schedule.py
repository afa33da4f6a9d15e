"""Schedules in cron form: five fields in a named time zone. Pure.

The fields and the changes to and from summer time are those of Debian's cron: a job with an hour of its own, whose
local time does not exist that day, runs right after the change, and runs once where a local time comes twice; a job
with wildcards for the hour follows the real time.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache

from cronsim import CronSim, CronSimError

UTC = "UTC"
MAX_CRON, MAX_ZONE = 128, 64
_FIELDS = 5


class ScheduleError(ValueError):
    """The expression or the time zone is not valid; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times at which a trigger fires.

    Attributes:
        cron: minute, hour, day of the month, month, day of the week. Once per minute is the most.
        time_zone: IANA name.
    """

    cron: str
    time_zone: str = UTC


def check_schedule(schedule: Schedule, now: dt.datetime) -> None:
    """Checks that there is a time at which it fires.

    Raises:
        ScheduleError: there is none, or a part is not valid.
    """
    if len(schedule.cron) > MAX_CRON or len(schedule.cron.split()) != _FIELDS:
        # A sixth field would be seconds.
        raise ScheduleError("it must have five fields: minute, hour, day of the month, month and day of the week")
    if next_after(schedule, now) is None:
        raise ScheduleError("it names no day that exists")


def next_after(schedule: Schedule, moment: dt.datetime) -> dt.datetime | None:
    """The first time after a moment, in UTC; None if there is none within 50 years.

    Raises:
        ScheduleError: a part is not valid.
    """
    return _first(schedule, moment, reverse=False)


def last_until(schedule: Schedule, moment: dt.datetime) -> dt.datetime | None:
    """The last time that is not after a moment, in UTC; None if there is none within 50 years.

    Raises:
        ScheduleError: a part is not valid.
    """
    # Backwards, the library begins before the moment itself, and looks at whole minutes.
    return _first(schedule, moment.replace(second=0, microsecond=0) + dt.timedelta(minutes=1), reverse=True)


def _first(schedule: Schedule, moment: dt.datetime, *, reverse: bool) -> dt.datetime | None:
    try:
        times = CronSim(schedule.cron, moment.astimezone(_zone(schedule.time_zone)), reverse=reverse)
        return next(times).astimezone(dt.UTC)
    except StopIteration:
        return None
    except CronSimError as error:
        raise ScheduleError(str(error)) from error


@lru_cache(maxsize=1_024)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    # A name is a path in the database of time zones.
    if len(name) > MAX_ZONE or not name.isascii() or name.startswith(("/", ".")) or ".." in name:
        raise ScheduleError("the time zone must have an IANA name, such as Europe/Zurich")
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"there is no time zone {name}; its name is like Europe/Zurich") from error
