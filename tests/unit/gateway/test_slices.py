"""Long work of one request, and what the event loop does in between."""

import asyncio
from collections.abc import Iterator

from gateway.slices import ITEMS_PER_READING, PAUSE_ITERATIONS, SLICE_SECONDS, in_slices
from tests.machine import settled

ITEMS = 4_000


class Clock:
    """Time that passes only with the work."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> Iterator[int]:
        for number in range(ITEMS):
            self.now += seconds
            yield number


async def slices_of(clock: Clock, seconds: float) -> list[float]:
    """How long the work of each iteration of the loop took, in which some was done."""
    lengths, began = list[float](), 0.0

    async def work() -> None:
        assert [number async for number in in_slices(clock.work(seconds), clock=clock)] == list(range(ITEMS))

    task = asyncio.ensure_future(work())
    while not task.done():
        began = clock.now
        await asyncio.sleep(0)
        if clock.now > began:
            lengths.append(clock.now - began)
    await task
    return lengths


async def test_slice_of_slow_items_is_no_longer_than_that_of_quick_ones() -> None:
    for seconds in (SLICE_SECONDS / 1_000, SLICE_SECONDS / 50, SLICE_SECONDS / 2):
        longest = max(await slices_of(Clock(), seconds))
        assert longest <= SLICE_SECONDS + (ITEMS_PER_READING + 1) * seconds


async def test_most_iterations_of_the_loop_have_no_slice() -> None:
    """A call of another project waits in each of its iterations for what is done there."""
    clock, busy, iterations = Clock(), 0, 0

    async def work() -> None:
        async for _ in in_slices(clock.work(SLICE_SECONDS / 20), clock=clock):
            pass

    task = asyncio.ensure_future(work())
    while not task.done():
        before = clock.now
        await asyncio.sleep(0)
        iterations += 1
        busy += clock.now > before
    assert busy <= iterations / PAUSE_ITERATIONS + 1


async def test_nothing_is_done_ahead_of_its_use() -> None:
    clock = Clock()
    items = in_slices(clock.work(1.0), clock=clock)
    assert await anext(items) == 0
    await settled(3)
    assert clock.now == 1.0
    await items.aclose()
