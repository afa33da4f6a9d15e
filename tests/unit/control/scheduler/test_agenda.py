"""What is due: each time once, the last of those that were missed, and nothing that was claimed."""

import datetime as dt
from dataclasses import replace

from control.scheduler.agenda import Agenda
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import ObjectCreated, Trigger, TriggerRecord, TriggerStatus

MINUTE = dt.timedelta(minutes=1)
NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def record(
    name: str = "t",
    cron: str = "* * * * *",
    *,
    since: dt.datetime = NOON,
    claimed: dt.datetime | None = None,
    version: str = "1",
) -> TriggerRecord:
    spec = Trigger(function="f", name=name, source=Schedule(cron), user_id="u", trust_id="t", defined_at=since)
    status = TriggerStatus(scheduled_at=claimed)
    return TriggerRecord(namespace="a", spec=spec, status=status, uid=name, resource_version=version)


def agenda(*records: TriggerRecord, lateness: dt.timedelta = 10 * MINUTE) -> Agenda:
    found = Agenda(lateness)
    found.set_tenant("a", records)
    return found


def due(found: Agenda, now: dt.datetime) -> list[tuple[str, dt.datetime]]:
    return [(each.record.spec.name, each.at) for each in found.take_due(now)]


def test_time_comes_once() -> None:
    found = agenda(record())
    assert due(found, NOON + MINUTE - dt.timedelta(seconds=1)) == []
    assert due(found, NOON + MINUTE) == [("t", NOON + MINUTE)]
    assert due(found, NOON + MINUTE) == []
    assert found.next_at() == NOON + 2 * MINUTE


def test_of_missed_times_only_the_last_comes() -> None:
    found = agenda(record())
    assert due(found, NOON + 7.5 * MINUTE) == [("t", NOON + 7 * MINUTE)]
    assert found.next_at() == NOON + 8 * MINUTE


def test_time_that_is_too_late_does_not_come() -> None:
    found = agenda(record(cron="5 12 * * *"))
    assert due(found, NOON + 16 * MINUTE) == []
    assert found.next_at() == NOON + dt.timedelta(days=1, minutes=5)


def test_times_before_the_definition_do_not_come() -> None:
    found = agenda(record(cron="0 11 * * *"))
    assert due(found, NOON + MINUTE) == []


def test_claimed_time_does_not_come_in_another_process() -> None:
    found = agenda(record(claimed=NOON + 3 * MINUTE))
    assert due(found, NOON + 3 * MINUTE) == []
    assert due(found, NOON + 4 * MINUTE) == [("t", NOON + 4 * MINUTE)]


def test_report_of_an_earlier_firing_brings_no_time_back() -> None:
    """The watch shows the claim of noon and one, after noon and two was handed out."""
    found = agenda(record())
    assert due(found, NOON + MINUTE)
    assert due(found, NOON + 2 * MINUTE)
    found.set_tenant("a", [record(claimed=NOON + MINUTE, version="2")])
    assert due(found, NOON + 2 * MINUTE) == []


def test_changed_schedule_counts_from_its_change() -> None:
    found = agenda(record(cron="30 12 * * *"))
    changed = record(cron="0 12 * * *", since=NOON + 20 * MINUTE, version="2")
    found.set_tenant("a", [changed])
    assert due(found, NOON + 21 * MINUTE) == []


def test_deleted_and_other_triggers_are_not_due() -> None:
    found = agenda(record("a"), record("b"))
    events = replace(
        record("b"), spec=replace(record("b").spec, source=ObjectCreated(container="c")), resource_version="2"
    )
    found.set_tenant("a", [record("a"), events])
    assert due(found, NOON + MINUTE) == [("a", NOON + MINUTE)]
    found.forget_others([])
    assert (len(found), found.next_at()) == (0, None)


def test_invalid_schedule_of_another_writer_does_not_stop_the_others() -> None:
    found = agenda(record("bad", "0 0 30 2 *"), record("good"))
    assert due(found, NOON + MINUTE) == [("good", NOON + MINUTE)]


def test_what_is_kept_does_not_grow_with_the_changes() -> None:
    found = agenda(record())
    for number in range(10_000):
        found.set_tenant("a", [record(version=str(number))])
    assert len(found._heap) < 200
