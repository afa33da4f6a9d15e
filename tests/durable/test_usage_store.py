"""Usage on real databases: a record counts once, and sums are those of the records."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from operations.store import usage
from operations.store.database import Database
from operations.store.schema import usage_hours, usage_records
from operations.store.usage import DAY_MS, HOUR_MS, CallRecord, UsageQuestion

START = 1_790_000_000_000 // DAY_MS * DAY_MS


def record(number: int, **changes) -> CallRecord:
    values = {
        "id": f"req-{number}",
        "project_id": "a",
        "user_id": "u",
        "function": "hello",
        "revision": "hello-1",
        "outcome": "answered",
        "status": 200,
        "started_at": START + 5,
        "duration_ms": 7,
        "function_ms": 5,
        "mib_ms": 5 * 256,
        "cold_start": False,
        "requests": 1,
        "request_bytes": 10,
        "response_bytes": 20,
        "object_bytes": 1 << 40,
    }
    return CallRecord(**{**values, **changes})


def rows(db: Database, *groups: str, project: str | None = "a", days: int = 2, **more):
    question = UsageQuestion(
        **{"project_id": project, "start": START, "end": START + days * DAY_MS, "groups": groups, "limit": 100, **more}
    )
    return [(row.group, row.sums["calls"]) for row in db.run_here(usage.usage_by, question)]


def test_records_count_once_however_often_they_are_stored(db):
    assert db.run_here(usage.store, [record(1), record(2), record(1)]) == 2
    assert db.run_here(usage.store, [record(2), record(3, outcome="function", cold_start=True)]) == 1
    (row,) = db.run_here(
        usage.usage_by, UsageQuestion(project_id="a", start=START, end=START + HOUR_MS, groups=(), limit=1)
    )
    assert row.sums == {
        "calls": 3,
        "failed": 1,
        "cold_starts": 1,
        "requests": 3,
        "duration_ms": 21,
        "function_ms": 15,
        "mib_ms": 3 * 5 * 256,
        "request_bytes": 30,
        "response_bytes": 60,
        "object_bytes": 3 << 40,
    }


def test_attempts_at_one_call_are_one_call_with_the_work_of_all(db):
    """In any order of arrival within a batch, over batches, and stored again; the last outcome counts."""
    first = record(1, outcome="function", status=503)
    second = record(1, outcome="function", status=503, started_at=START + HOUR_MS, cold_start=True)
    third = record(1, started_at=START + 2 * HOUR_MS, revision="hello-2")
    assert db.run_here(usage.store, [second, first]) == 1
    assert db.run_here(usage.store, [first, second, third, record(2)]) == 1
    assert db.run_here(usage.store, [second, third]) == 0
    question = UsageQuestion(project_id="a", start=START, end=START + DAY_MS, groups=("revision",), limit=9)
    sums = {row.group[0]: row.sums for row in db.run_here(usage.usage_by, question)}
    names = ("calls", "failed", "cold_starts", "requests", "function_ms", "object_bytes")
    assert [sums["hello-1"][name] for name in names] == [1, 0, 0, 1, 5, 1 << 40]
    assert [sums["hello-2"][name] for name in names] == [1, 0, 1, 3, 15, 3 << 40]
    assert rows(db, "hour") == [((START,), 1), ((START + 2 * HOUR_MS,), 1)]


def test_attempts_that_several_processes_store_at_once_are_one_call(db):
    """Each process has seen another attempt, or two have seen the same one."""
    attempts = [record(1, started_at=START + number) for number in range(6)]

    def store(attempt) -> None:
        for _ in range(50):
            try:
                db.run_here(usage.store, [attempt])
            except IntegrityError:
                continue
            return
        pytest.fail("never stored")

    for attempt in attempts:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(store, [attempt] * 3))
    (row,) = db.run_here(
        usage.usage_by, UsageQuestion(project_id="a", start=START, end=START + HOUR_MS, groups=(), limit=1)
    )
    assert (row.sums["calls"], row.sums["requests"]) == (1, 6)


def test_what_several_processes_store_at_once_is_summed_up_and_counts_once(db):
    """Each batch is stored by two of them, as after a kill, and all change the same sums."""
    batches = [[record(number) for number in range(first, first + 20)] for first in range(0, 200, 20)]

    def store(batch) -> None:
        # The store says so and has changed nothing; the recorder comes again.
        for _ in range(50):
            try:
                db.run_here(usage.store, batch)
            except IntegrityError:
                continue
            return
        pytest.fail("never stored")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store, [*batches, *batches]))
    assert rows(db) == [((), 200)]


def test_groups_have_their_own_sums_in_order(db):
    db.run_here(
        usage.store,
        [
            record(1),
            record(2, function="other", revision=""),
            record(3, user_id="v", started_at=START + HOUR_MS),
            record(4, started_at=START + DAY_MS + 1),
            record(5, project_id="b"),
            record(6, project_id="A"),
            record(7, started_at=START - 1),
            record(8, started_at=START + 2 * DAY_MS),
        ],
    )
    assert rows(db, "function") == [(("hello",), 3), (("other",), 1)]
    assert rows(db, "revision") == [(("",), 1), (("hello-1",), 3)]
    assert rows(db, "day") == [((START,), 3), ((START + DAY_MS,), 1)]
    assert rows(db, "hour", "user") == [
        ((START, "u"), 2),
        ((START + HOUR_MS, "v"), 1),
        ((START + DAY_MS, "u"), 1),
    ]
    assert sorted(rows(db, "project", project=None)) == [(("A",), 1), (("a",), 4), (("b",), 1)]
    assert rows(db, project="nobody") == [((), 0)]


def test_pages_have_every_row_once(db):
    db.run_here(
        usage.store,
        [record(number, function=f"f{number % 5}", started_at=START + number % 3 * HOUR_MS) for number in range(60)],
    )
    whole = rows(db, "hour", "function")
    assert len(whole) == 15
    pages, after = [], None
    while page := rows(db, "hour", "function", limit=4, after=after):
        pages += page
        after = page[-1][0]
    assert pages == whole


def test_sums_outlive_their_records(db):
    """By the database's clock: everything in this test is old, or of the future."""
    db.run_here(usage.store, [record(1, started_at=HOUR_MS), record(2, started_at=10**13)])

    def counts() -> tuple[int, int]:
        with db.engine.connect() as connection:
            return tuple(
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (usage_records, usage_hours)
            )

    long = 10**14
    assert db.run_here(usage.forget, records_ms=long, hours_ms=long) == 0
    assert db.run_here(usage.forget, records_ms=1000, hours_ms=long) == 1
    assert counts() == (1, 2)
    assert db.run_here(usage.forget, records_ms=1000, hours_ms=1000) == 1
    assert counts() == (1, 1)


def test_record_of_which_one_field_is_wrong_leaves_no_sums(db):
    """Records and sums change together."""
    with pytest.raises(IntegrityError):
        db.run_here(usage.store, [record(1), record(2, project_id=None)])
    assert rows(db) == [((), 0)]
