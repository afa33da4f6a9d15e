"""Many requests at once: none waits for all of another project's."""

import asyncio
import itertools

from gateway.http.fair_start import (
    OVERTAKING_PER_ITERATION,
    PACED_ITERATIONS,
    STARTS_PER_ITERATION,
    FairStart,
)
from tests.machine import settled


async def begun(arrivals: list[str]) -> list[tuple[int, str]]:
    """Iteration of the loop and name of each start, for requests that arrive in the same iteration."""
    loop, starts, seen = asyncio.get_running_loop(), FairStart(), list[tuple[int, str]]()
    iteration = 0

    def count() -> None:
        nonlocal iteration
        iteration += 1
        if len(seen) < len(arrivals):
            loop.call_soon(count)

    for name in arrivals:
        starts.start(lambda name=name: name[0], lambda name=name: seen.append((iteration, name)), loop)
    loop.call_soon(count)
    await settled()
    return seen


async def test_late_request_of_another_project_does_not_wait_for_a_burst() -> None:
    names = [name for _, name in await begun([*(f"a{number}" for number in range(50)), "b0"])]
    assert names.index("b0") < 3 * 2


async def test_request_of_a_project_with_none_in_the_queue_starts_in_the_iteration_in_which_it_arrives() -> None:
    found = await begun([*(f"a{number}" for number in range(50)), "b0"])
    assert (0, "b0") in found


async def test_queue_is_paced_beside_another_project() -> None:
    """Another project's call meets what is started in each of the iterations that it takes."""
    found = await begun([*(f"a{number}" for number in range(20)), "b0"])
    queued = [iteration for iteration, name in found if iteration and name[0] == "a"]
    assert len(queued) == 20 - STARTS_PER_ITERATION
    assert min(later - earlier for earlier, later in itertools.pairwise(queued)) >= PACED_ITERATIONS


async def test_queue_of_a_single_project_is_not_paced() -> None:
    last = max(iteration for iteration, _ in await begun([f"a{number}" for number in range(20)]))
    assert last <= 20 / STARTS_PER_ITERATION + 1


async def test_project_overtakes_once_and_then_takes_its_turns() -> None:
    found = await begun([*(f"a{number}" for number in range(9)), *(f"b{number}" for number in range(9))])
    assert sum(not iteration for iteration, name in found if name[0] == "b") == 1


async def test_requests_of_many_projects_are_started_a_few_at_a_time() -> None:
    iterations = [iteration for iteration, _ in await begun(["a1", "a2", "a3", *map(chr, range(200, 250))])]
    most = STARTS_PER_ITERATION + OVERTAKING_PER_ITERATION
    assert max(iterations.count(each) for each in iterations) <= most


async def test_no_iteration_starts_more_than_its_share() -> None:
    iterations = [iteration for iteration, _ in await begun([f"a{number}" for number in range(20)])]
    assert max(iterations.count(each) for each in iterations) <= STARTS_PER_ITERATION


async def test_each_request_is_started_once_and_those_of_a_project_in_order() -> None:
    arrivals = ["a1", "b1", "a2", "a3", "c1", "b2", "a4", "b3"]
    names = [name for _, name in await begun(arrivals)]
    assert sorted(names) == sorted(arrivals)
    assert [name for name in names if name[0] == "a"] == ["a1", "a2", "a3", "a4"]


async def test_request_that_arrives_alone_is_started_at_once() -> None:
    loop, starts, seen = asyncio.get_running_loop(), FairStart(), list[str]()

    def subject() -> str:
        raise AssertionError("nobody waits, so nobody is asked")

    starts.start(subject, lambda: seen.append("a"), loop)
    assert seen == ["a"]


async def test_request_that_cannot_be_started_does_not_keep_others_waiting() -> None:
    loop, starts, seen = asyncio.get_running_loop(), FairStart(), list[int]()
    loop.set_exception_handler(lambda _loop, _context: None)

    def fail() -> None:
        raise RuntimeError

    for number in range(10):
        begin = fail if number == 5 else lambda number=number: seen.append(number)
        starts.start(lambda: "a", begin, loop)
    await settled()
    assert seen == [0, 1, 2, 3, 4, 6, 7, 8, 9]


async def test_requests_whose_connections_have_ended_are_neither_started_nor_kept() -> None:
    """Connections that come faster than requests are started, and leave at once, must not pile up."""
    loop, starts, seen = asyncio.get_running_loop(), FairStart(), list[str]()
    for number in range(10_000):
        starts.start(lambda: "", lambda: seen.append("gone"), loop, gone=lambda number=number: number >= 2)
    starts.start(lambda: "b", lambda: seen.append("b"), loop)
    starts.start(lambda: "", lambda: seen.append("late"), loop)
    await asyncio.sleep(0)
    # The one that has come last.
    assert starts.waiting == 1
    await settled()
    assert seen == ["gone", "gone", "b", "late"]
