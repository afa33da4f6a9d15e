"""A budget whose callers wait."""

import asyncio

import pytest

from gateway.errors import GatewayError, Kind
from gateway.limits.service_queue import WaitingBudget
from policies.names import ProjectId
from tests.machine import settled

A, B = ProjectId("a"), ProjectId("b")


class Line:
    """Callers of one budget, who hold their places until they are told to leave."""

    def __init__(self, budget: WaitingBudget) -> None:
        self.budget = budget
        self.holding: list[int] = []

    async def hold(self, number: int, leave: asyncio.Event, project: ProjectId = A) -> None:
        async with self.budget.slot(project):
            self.holding.append(number)
            await leave.wait()


async def test_one_more_than_may_wait_is_refused_and_told_to_come_back_later() -> None:
    line, leave = Line(WaitingBudget(1, 1)), asyncio.Event()
    tasks = [asyncio.create_task(line.hold(number, leave)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayError) as caught:
        await line.hold(2, leave)
    assert (caught.value.kind, caught.value.retry_after_seconds) == (Kind.TOO_MANY_AT_ONCE, 30)
    leave.set()
    await asyncio.gather(*tasks)
    assert line.holding == [0, 1]


async def test_places_are_given_in_the_order_of_arrival_and_no_more_than_there_are() -> None:
    line = Line(WaitingBudget(2, 10))
    leaves = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(line.hold(number, leave)) for number, leave in enumerate(leaves)]
    await settled()
    assert line.holding == [0, 1]
    leaves[1].set()
    await settled()
    assert line.holding == [0, 1, 2]
    for leave in leaves:
        leave.set()
    await asyncio.gather(*tasks)
    assert line.holding == [0, 1, 2, 3, 4]


async def test_one_who_leaves_the_line_gives_up_no_place_of_another() -> None:
    line, leave = Line(WaitingBudget(1, 2)), asyncio.Event()
    tasks = [asyncio.create_task(line.hold(number, leave)) for number in range(3)]
    await settled()
    tasks[1].cancel()
    await settled()
    assert line.holding == [0]
    leave.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert line.holding == [0, 2]


async def test_one_project_does_not_wait_for_another() -> None:
    line, leave = Line(WaitingBudget(1, 0)), asyncio.Event()
    tasks = [asyncio.create_task(line.hold(number, leave, project)) for number, project in enumerate((A, B))]
    await settled()
    assert line.holding == [0, 1]
    leave.set()
    await asyncio.gather(*tasks)
