"""The fair queue before a limit: bounded in size and time, round robin between callers."""

import asyncio
import time

import pytest

from gateway.limits.backend import LimitResult
from gateway.limits.fair_queue import FairQueue, QueueFullError, QueueLimits
from tests.machine import scaled, settled

LONG = QueueLimits(size=10, seconds=30)


class Harness:
    """Places that the test gives away one by one."""

    def __init__(self) -> None:
        self.queues = FairQueue(self.seen)
        self.free = 0
        self.served: list[str] = []
        self.waiting = 0

    def seen(self, change: int) -> None:
        self.waiting += change

    async def take(self, caller_id: str, queue_limits: QueueLimits = LONG) -> None:
        async def attempt() -> LimitResult:
            if not self.free:
                return LimitResult(granted=False, usage=1, wait_seconds=queue_limits.seconds / 3)
            self.free -= 1
            return LimitResult(granted=True, usage=1)

        await self.queues.wait_for("limit", caller_id, attempt, queue_limits)
        self.served.append(caller_id)

    def start(self, *callers: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.take(caller_id)) for caller_id in callers]

    async def give(self, slots: int) -> None:
        for _ in range(slots):
            self.free += 1
            self.queues.changed("limit")
            for _ in range(10):
                await asyncio.sleep(0)


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_call_is_refused_when_its_wait_ends() -> None:
    harness, started = Harness(), time.monotonic()
    with pytest.raises(QueueFullError):
        await harness.take("a", QueueLimits(size=10, seconds=0.05))
    assert time.monotonic() - started < scaled(5)
    assert harness.waiting == 0


async def test_call_is_refused_at_once_when_waiting_cannot_succeed() -> None:
    harness, started = Harness(), time.monotonic()

    async def attempt() -> LimitResult:
        return LimitResult(granted=False, usage=1, wait_seconds=60)

    with pytest.raises(QueueFullError):
        await harness.queues.wait_for("limit", "a", attempt, QueueLimits(size=10, seconds=30))
    assert time.monotonic() - started < scaled(5)


async def test_queue_is_not_longer_than_its_limit() -> None:
    harness = Harness()
    tasks = harness.start(*["a"] * 10)
    await settled()
    with pytest.raises(QueueFullError):
        await harness.take("a")
    assert harness.waiting == 10
    await ended(tasks)


async def test_caller_that_fills_the_queue_yields_to_one_that_has_nothing_in_it() -> None:
    harness = Harness()
    tasks = harness.start(*["greedy"] * 10)
    await settled()
    tasks += harness.start("other")
    await settled()
    assert isinstance(tasks[9].exception(), QueueFullError)
    await harness.give(2)
    assert harness.served == ["greedy", "other"]
    await ended(tasks)


async def test_callers_take_turns_whatever_each_has_asked_for() -> None:
    harness = Harness()
    tasks = harness.start("a", "a", "a", "a", "b", "c")
    await settled()
    await harness.give(6)
    assert harness.served == ["a", "b", "c", "a", "a", "a"]
    await asyncio.gather(*tasks)


async def test_nobody_overtakes_the_queue() -> None:
    harness = Harness()
    tasks = harness.start("a")
    await settled()
    # Free, but the head has not seen it yet.
    harness.free = 1
    tasks += harness.start("b")
    await settled()
    assert harness.served == []
    harness.queues.changed("limit")
    await settled()
    assert harness.served == ["a"]
    await ended(tasks)


async def test_head_that_leaves_passes_its_turn_on() -> None:
    harness = Harness()
    first, second = harness.start("a", "b")
    await settled()
    await ended([first])
    await harness.give(1)
    assert harness.served == ["b"]
    await second


async def test_nothing_is_kept_of_empty_queues() -> None:
    harness = Harness()
    tasks = harness.start("a", "b")
    await settled()
    await harness.give(2)
    await asyncio.gather(*tasks)
    assert not harness.queues._queues
    assert harness.waiting == 0
