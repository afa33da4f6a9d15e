"""The object as the body of the call: read on the event loop, digested by a pipeline on threads."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from .errors import ChecksumsError, Code
from .pipeline import Pipeline

if TYPE_CHECKING:
    from .orders import BodyOrder
    from .pipeline import Buffer, Ring, Stop
    from .threads import Threads


class Body(Protocol):
    """The part of aiohttp's StreamReader that is used here."""

    async def readany(self) -> bytes:
        """The next bytes; empty at the end."""


async def digest_body(
    order: BodyOrder, body: Body, *, stall_seconds: float, threads: Threads, stop: Stop
) -> dict[str, str]:
    """Reads the body once and returns the digests.

    Raises:
        ChecksumsError: short_read if the body is shorter or longer than the size, or sends nothing for `stall_seconds`.
        Stopped: the caller has disconnected.
    """
    # Created on a thread, because the first use of a library imports it.
    pipeline = await threads.run(lambda: Pipeline(order.algorithms, size=order.size, stop=stop, inline=False))
    with pipeline:
        last, filled = await _fill(order, body, pipeline, stall_seconds)

        def finish() -> dict[str, str]:
            pipeline.submit(last, filled)
            return pipeline.finish()

        return await threads.run(finish)


async def _fill(order: BodyOrder, body: Body, pipeline: Pipeline, stall_seconds: float) -> tuple[Buffer, int]:
    """Submits all buffers except the last, which is returned with its length."""
    loop = asyncio.get_running_loop()
    ring = AsyncRing(pipeline.ring, loop)
    buffer, filled, total = await ring.acquire(), 0, 0
    try:
        async with asyncio.timeout(stall_seconds) as deadline:
            while chunk := await body.readany():
                total += len(chunk)
                if total > order.size:
                    raise ChecksumsError(Code.SHORT_READ, f"The body has more than {order.size} bytes.")
                rest = memoryview(chunk)
                while rest:
                    if filled == len(buffer.view):
                        pipeline.submit(buffer, filled)
                        buffer, filled = await ring.acquire(), 0
                    count = min(len(rest), len(buffer.view) - filled)
                    buffer.view[filled : filled + count] = rest[:count]
                    filled += count
                    rest = rest[count:]
                deadline.reschedule(loop.time() + stall_seconds)
    except TimeoutError:
        raise ChecksumsError(Code.SHORT_READ, f"The body stalled after {total} of {order.size} bytes.") from None
    if total < order.size:
        raise ChecksumsError(Code.SHORT_READ, f"The body has {total} instead of {order.size} bytes.")
    return buffer, filled


class AsyncRing:
    """Waits for a free buffer without blocking the event loop."""

    def __init__(self, ring: Ring, loop: asyncio.AbstractEventLoop) -> None:
        self._ring = ring
        self._freed = asyncio.Event()
        self._loop = loop
        ring.on_free = self._wake

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is already closed: nobody waits
            self._loop.call_soon_threadsafe(self._freed.set)

    async def acquire(self) -> Buffer:
        """A free buffer. Raises Stopped."""
        while True:
            self._freed.clear()  # before trying, so that a release between the attempt and the wait is not lost
            if (buffer := self._ring.try_acquire()) is not None:
                return buffer
            await self._freed.wait()
