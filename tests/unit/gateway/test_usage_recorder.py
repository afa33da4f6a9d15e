"""Usage records wait for the database within bounds, survive a kill in the spool, and never fail a call."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.call_usage import CallUsage
from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.settings.usage import UsageSettings
from gateway.telemetry.outcome import Outcome
from gateway.usage.record import ROUTES, record_of
from gateway.usage.recorder import BATCH, UsageRecorder
from gateway.usage.spool import Segment, Spool
from operations.store import usage as store
from operations.store.errors import DatabaseUnavailableError
from operations.store.usage import CallRecord


def record(number: int) -> CallRecord:
    return CallRecord(
        id=f"req-{number}",
        project_id="p",
        user_id="u",
        function="f",
        revision="",
        outcome="answered",
        status=200,
        started_at=1,
        duration_ms=2,
        function_ms=3,
        mib_ms=4,
        cold_start=True,
        requests=1,
        request_bytes=5,
        response_bytes=6,
        object_bytes=7,
    )


class Store:
    """Takes batches, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        # Batches until it goes away; None: it stays.
        self.away_after: int | None = None
        self.stored: dict[str, CallRecord] = {}

    async def run(self, work: Any, *args: Any, **_: Any) -> int:
        if self.away:
            raise DatabaseUnavailableError("away")
        if work is not store.store:
            return 0
        (batch,) = args
        new = {each.id: each for each in batch if each.id not in self.stored}
        self.stored |= new
        if self.away_after is not None:
            self.away_after -= 1
            self.away = self.away_after <= 0
        return len(new)


class Stage:
    def __init__(self, spool: Path | None = None, **settings: Any) -> None:
        self.metrics, self.store = Metrics(), Store()
        made = UsageSettings(usage_spool_directory=spool, usage_flush_seconds=0.01, **settings)
        self.recorder = UsageRecorder(made, self.metrics, clock=lambda: 1000.0)
        self.recorder._run = self.store.run

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("osfaas_usage_records_total", {"result": result}) or 0.0


def context(**usage: Any) -> RequestContext:
    made = RequestContext("req-1", route="invoke", usage=CallUsage(**usage))
    made.log.project_id, made.log.user_id = "p", "u"
    return made


def test_record_has_what_the_call_has_used() -> None:
    made = context(function="f", revision="f-1", requests=2, request_bytes=3, response_bytes=4, object_bytes=5)
    assert made.usage is not None
    made.usage.add_exchange(1.5, memory_mib=256)
    made.usage.add_exchange(0.5, memory_mib=256)
    found = record_of(made, 503, Outcome.FUNCTION, seconds=2.25, now=1000.0)
    assert found == CallRecord(
        id="req-1",
        project_id="p",
        user_id="u",
        function="f",
        revision="f-1",
        outcome="function",
        status=503,
        started_at=997_750,
        duration_ms=2_250,
        function_ms=2_000,
        mib_ms=512_000,
        cold_start=False,
        requests=2,
        request_bytes=3,
        response_bytes=4,
        object_bytes=5,
    )


@pytest.mark.parametrize("what", ["not admitted", "another route", "an operation"])
def test_request_that_is_no_call_leaves_no_record(what: str) -> None:
    made = context()
    if what == "not admitted":
        made.usage = None
    elif what == "another route":
        made.route = "usage"
    else:
        made.log.operation = "an-id"
    assert record_of(made, 200, Outcome.ANSWERED, seconds=1, now=10.0) is None


def test_routes_of_calls_are_those_that_requests_have() -> None:
    """A route that is misspelt here would be used for nothing."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(gateway.__file__).parent.rglob("*.py"))
    named = set(re.findall(r'\.route = "([a-z.]+)"', source))
    assert named >= ROUTES
    assert {"limits", "usage", "operations"}.isdisjoint(ROUTES)


async def test_records_are_stored_in_batches() -> None:
    stage = Stage()
    for number in range(2 * BATCH + 1):
        stage.recorder.add(record(number))
    assert await stage.recorder.flush()
    assert len(stage.store.stored) == stage.counted("stored") == 2 * BATCH + 1
    assert stage.recorder.problem() is None


async def test_without_the_database_records_wait_within_bounds_and_the_rest_is_counted_and_told() -> None:
    stage = Stage(usage_buffer_records=1_000)
    stage.store.away = True
    for number in range(1_200):
        stage.recorder.add(record(number))
    assert not await stage.recorder.flush()
    assert stage.recorder.problem() == (
        "the database takes no usage records: 1000 wait, 200 were dropped since the start"
    )
    assert stage.counted("dropped") == 200
    assert stage.metrics.registry.get_sample_value("osfaas_usage_records_waiting") == 1_000
    stage.store.away = False
    assert await stage.recorder.flush()
    assert len(stage.store.stored) == 1_000
    assert "again: 0 wait" in str(stage.recorder.problem())


async def test_end_of_the_process_stores_what_waits() -> None:
    stage = Stage()
    async with stage.recorder.running(stage.store.run):
        stage.recorder.record_end(context(), 200, Outcome.ANSWERED, 1.0)
    assert list(stage.store.stored) == ["req-1"]


async def test_call_whose_computation_goes_on_leaves_its_record_when_that_ends() -> None:
    stage, made = Stage(), context()
    assert made.usage is not None
    with made.usage.held():
        stage.recorder.record_end(made, 202, Outcome.ANSWERED, 1.0)
        await stage.recorder.flush()
        assert not stage.store.stored
        made.usage.add_exchange(3, memory_mib=1)
    await stage.recorder.flush()
    assert [each.function_ms for each in stage.store.stored.values()] == [3_000]


@pytest.mark.parametrize("end", ["a restart", "the same process"])
async def test_spool_keeps_what_the_database_did_not_take(tmp_path: Path, end: str) -> None:
    stage = Stage(tmp_path / "spool")
    stage.store.away = True
    for number in range(3):
        stage.recorder.add(record(number))
        await stage.recorder.flush()
    if end == "a restart":
        await stage.recorder._close()
        stage = Stage(tmp_path / "spool")
    stage.store.away = False
    assert await stage.recorder.flush()
    # The files of a process that has ended are read in any order.
    assert stage.store.stored == {f"req-{number}": record(number) for number in range(3)}
    await stage.recorder._close()
    assert files_in(tmp_path / "spool") == []


async def test_files_are_removed_only_when_their_records_are_stored(tmp_path: Path) -> None:
    """Whatever the order of records, failures and flushes is, a kill loses nothing."""
    stage = Stage(tmp_path)
    number = 0
    for step in range(40):
        stage.store.away = step % 3 == 1
        for _ in range(step % 4):
            stage.recorder.add(record(number))
            number += 1
        await stage.recorder.flush()
        on_disk = {each.id for path in files_in(tmp_path) for each in _records_in(path)}
        assert on_disk | set(stage.store.stored) == {f"req-{each}" for each in range(number)}
    assert len(files_in(tmp_path)) <= 2


async def test_full_disk_fails_no_call_and_loses_nothing_while_the_process_lives(tmp_path: Path, monkeypatch) -> None:
    stage = Stage(tmp_path)
    stage.recorder.add(record(0))
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    stage.recorder.add(record(1))
    monkeypatch.undo()
    stage.recorder.add(record(2))
    assert await stage.recorder.flush()
    assert set(stage.store.stored) == {"req-0", "req-1", "req-2"}
    await stage.recorder._close()
    assert files_in(tmp_path) == []


async def test_file_is_kept_while_records_from_before_a_full_disk_are_stored(tmp_path: Path, monkeypatch) -> None:
    """Their number must not be taken for that of the records in the next file."""
    stage = Stage(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    for number in range(BATCH):
        stage.recorder.add(record(number))
    monkeypatch.undo()
    stage.recorder.add(record(BATCH))
    stage.store.away_after = 1
    assert not await stage.recorder.flush()
    assert len(stage.store.stored) == BATCH
    on_disk = {each.id for path in files_in(tmp_path) for each in _records_in(path)}
    assert f"req-{BATCH}" in on_disk


KILLED = """
import os, signal, sys
from pathlib import Path
from test_usage_recorder import Stage, record
stage = Stage(Path(sys.argv[1]))
for number in range(100):
    stage.recorder.add(record(number))
os.write(stage.recorder._segments[-1].descriptor, b'["req-100", "half a rec')
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_killed_process_leaves_its_records_to_the_next_one(tmp_path: Path) -> None:
    here = Path(__file__)
    path = {**os.environ, "PYTHONPATH": f"{here.parent}:{here.parents[3]}"}
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path), env=path)
    assert await done.wait() == -signal.SIGKILL
    stage = Stage(tmp_path)
    # One was stored before the kill.
    stage.store.stored["req-7"] = record(7)
    assert await stage.recorder.flush()
    assert stage.store.stored == {f"req-{number}": record(number) for number in range(100)}
    assert stage.counted("stored") == 99
    assert files_in(tmp_path) == []


async def test_file_of_a_living_process_is_its_own(tmp_path: Path) -> None:
    first, second = Stage(tmp_path), Stage(tmp_path)
    first.recorder.add(record(1))
    assert await second.recorder.flush()
    assert not second.store.stored
    assert await first.recorder.flush()
    assert set(first.store.stored) == {"req-1"}


def test_spool_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="OSFAAS_USAGE_SPOOL_DIRECTORY"):
        Stage(tmp_path / "file" / "spool")


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _records_in(path: Path) -> list[CallRecord]:
    return list(Segment(path=path, descriptor=os.open(path, os.O_RDONLY)).read())


def test_lines_that_are_no_records_are_left_out(tmp_path: Path) -> None:
    segment = Spool(tmp_path).new_segment()
    for line in (b"[]\n", b"null\n", b'{"id": 1}\n', b"\xff\n", b"[" + b'"x",' * 15 + b'"x"]\n'):
        os.write(segment.descriptor, line)
    segment.append(record(1))
    assert list(segment.read()) == [record(1)]
