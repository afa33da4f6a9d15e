"""A budget whose callers wait."""

import asyncio

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.limits.service_queue import ServiceCallerQueue
from policies.names import ProjectId
from tests.machine import settled

A, B = ProjectId("a"), ProjectId("b")


class Line:
    """Callers of one budget, who hold their places until they are told to leave."""

    def __init__(self, budget: ServiceCallerQueue) -> None:
        self.budget = budget
        self.holding: list[int] = []

    async def hold(self, number: int, release_slot: asyncio.Event, project: ProjectId = A) -> None:
        async with self.budget.slot(project):
            self.holding.append(number)
            await release_slot.wait()


async def test_one_more_than_may_wait_is_refused_and_told_to_come_back_later() -> None:
    queue, release_slot = Line(ServiceCallerQueue(1, 1)), asyncio.Event()
    tasks = [asyncio.create_task(queue.hold(number, release_slot)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayError) as caught:
        await queue.hold(2, release_slot)
    assert (caught.value.kind, caught.value.retry_after_seconds) == (ErrorCode.CONCURRENCY_EXCEEDED, 30)
    release_slot.set()
    await asyncio.gather(*tasks)
    assert queue.holding == [0, 1]


async def test_places_are_given_in_the_order_of_arrival_and_no_more_than_there_are() -> None:
    queue = Line(ServiceCallerQueue(2, 10))
    leaves = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(queue.hold(number, release_slot)) for number, release_slot in enumerate(leaves)]
    await settled()
    assert queue.holding == [0, 1]
    leaves[1].set()
    await settled()
    assert queue.holding == [0, 1, 2]
    for release_slot in leaves:
        release_slot.set()
    await asyncio.gather(*tasks)
    assert queue.holding == [0, 1, 2, 3, 4]


async def test_one_who_leaves_the_line_gives_up_no_place_of_another() -> None:
    queue, release_slot = Line(ServiceCallerQueue(1, 2)), asyncio.Event()
    tasks = [asyncio.create_task(queue.hold(number, release_slot)) for number in range(3)]
    await settled()
    tasks[1].cancel()
    await settled()
    assert queue.holding == [0]
    release_slot.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert queue.holding == [0, 2]


async def test_one_project_does_not_wait_for_another() -> None:
    queue, release_slot = Line(ServiceCallerQueue(1, 0)), asyncio.Event()
    tasks = [asyncio.create_task(queue.hold(number, release_slot, project)) for number, project in enumerate((A, B))]
    await settled()
    assert queue.holding == [0, 1]
    release_slot.set()
    await asyncio.gather(*tasks)
