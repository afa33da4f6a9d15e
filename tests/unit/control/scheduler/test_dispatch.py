"""Firings at once: bounded in all and by project, in turns, and none twice at the same time."""

import asyncio
import datetime as dt

import pytest

from control.scheduler.agenda import Due
from control.scheduler.dispatch import Dispatcher
from tenancy.model.schedule import Schedule
from tenancy.model.trigger import Trigger, TriggerRecord

NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def due(project: str, name: str) -> Due:
    spec = Trigger(function="f", name=name, source=Schedule("* * * * *"), user_id="u", trust_id="t")
    return Due(TriggerRecord(namespace=project, spec=spec), NOON)


class Work:
    """Firings that last until the test ends them."""

    def __init__(self, concurrency: int, per_project: int) -> None:
        self.running: list[str] = []
        self.skipped: list[str] = []
        self.order: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.dispatcher = Dispatcher(self.run, self.skip, concurrency=concurrency, per_project=per_project)

    async def run(self, each: Due) -> None:
        name = each.record.namespace + each.record.spec.name
        self.running.append(name)
        self.order.append(name)
        self.ends[name] = asyncio.Event()
        try:
            await self.ends[name].wait()
        finally:
            self.running.remove(name)

    async def skip(self, each: Due) -> None:
        self.skipped.append(each.record.spec.name)

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def work():
    found = Work(concurrency=3, per_project=2)
    yield found
    await found.dispatcher.close()
    assert found.running == []


async def test_project_with_many_schedules_delays_no_other(work: Work) -> None:
    for number in range(5):
        work.dispatcher.add(due("a", str(number)))
    work.dispatcher.add(due("b", "0"))
    await settle()
    assert work.running == ["a0", "a1", "b0"]
    work.dispatcher.add(due("b", "1"))
    await work.end("a0")
    await work.end("b0")
    # In turns, though four of the first project wait for longer.
    assert sorted(work.running) == ["a1", "a2", "b1"]


async def test_trigger_that_still_runs_or_waits_is_skipped(work: Work) -> None:
    work.dispatcher.add(due("a", "0"))
    await settle()
    work.dispatcher.add(due("a", "0"))
    await settle()
    assert (work.running, work.skipped) == (["a0"], ["0"])
    await work.end("a0")
    work.dispatcher.add(due("a", "0"))
    await settle()
    assert work.order == ["a0", "a0"]
