"""Iteration over many items that yields to the event loop.

Another project's call takes several iterations of the loop, and waits in each of them for a slice. So a slice is
bounded by its time, and most iterations have none.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

# Longest time of work without a pause. One item takes 10 to 30 µs.
SLICE_SECONDS = 0.0005
# Iterations of the loop between two slices. Together they take less time than a slice if there is nothing else to do.
PAUSE_ITERATIONS = 4
# Reading the clock for each item would cost a percent of the work.
ITEMS_PER_READING = 8


async def in_slices(items: Iterable[Item], *, clock: Callable[[], float] = time.perf_counter) -> AsyncIterator[Item]:
    """The items; after each slice the event loop runs other ready work.

    Args:
        items: made and used in the slices; the work of both counts.
        clock: in seconds.
    """
    until = clock() + SLICE_SECONDS
    for number, item in enumerate(items, 1):
        yield item
        if not number % ITEMS_PER_READING and clock() >= until:
            for _ in range(PAUSE_ITERATIONS):
                await asyncio.sleep(0)
            until = clock() + SLICE_SECONDS
