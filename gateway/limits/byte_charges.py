"""Charges the bytes of an object to its reader: all of them after a complete read, else an upper bound.

When a computation ends early, only the function knows how much it has read, and the tenant controls the function. So
the charge is bounded by time: the function cannot have read for longer than it ran, nor faster than any function does.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from gateway.errors import NOT_STARTED, GatewayError
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import LimitSubject

Held = TypeVar("Held")

# More than a function can read and digest (docs/explanation/performance.md): leaving early is never cheaper.
FASTEST_BYTES_PER_SECOND = 1 << 30


@contextlib.asynccontextmanager
async def charged_read(
    limiter: ProjectLimiter,
    subject: LimitSubject,
    size: int,
    slot: AbstractAsyncContextManager[Held],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Held]:
    """Charges an object, then holds a slot while it is read: a request that waits for bytes holds no slot.

    Gives what the slot gives.

    Args:
        limiter: limits of the subject's project.
        subject: project and caller that are charged.
        size: of the object, in bytes.
        slot: slot for the computation.
        clock: in seconds.

    Raises:
        GatewayError: BYTES_EXCEEDED, CONCURRENCY_EXCEEDED.
    """
    await limiter.charge_bytes(subject, size)
    read = 0
    try:
        async with slot as held:
            began = clock()
            try:
                yield held
                read = size
            except BaseException as error:
                if not isinstance(error, GatewayError) or error.kind not in NOT_STARTED:
                    read = int((clock() - began) * FASTEST_BYTES_PER_SECOND)
                raise
    finally:
        await limiter.refund_bytes(subject, size, read)
