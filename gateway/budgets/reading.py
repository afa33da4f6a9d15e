"""What reading an object for a computation is charged: all of it if it was read, else what may have been read.

How much of an object a function has read when its work ends early, only the function knows, and it is the tenant's
own. So the time decides: it cannot have read for longer than it worked, nor faster than any of them does.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from gateway.budgets.allowance import Payer
from gateway.budgets.project import ProjectBudgets
from gateway.errors import GatewayError, Kind

# More than one function reads and digests (docs/explanation/performance.md), so that leaving early is never cheaper
# than staying.
FASTEST_BYTES_PER_SECOND = 1 << 30
# The function did not begin.
_NOTHING_READ = frozenset(
    [Kind.FUNCTION_UNREACHABLE, Kind.FUNCTION_BUSY, Kind.FUNCTION_QUOTA, Kind.FUNCTION_NOT_RUNNING]
)


@contextlib.asynccontextmanager
async def reading(
    budgets: ProjectBudgets,
    payer: Payer,
    size: int,
    place: AbstractAsyncContextManager[None],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[None]:
    """Holds a place for reading an object. The bytes come first: who waits for them must hold no place meanwhile.

    Args:
        budgets: of the payer's project.
        payer: who is charged.
        size: of the object, in bytes.
        place: for a computation.
        clock: in seconds.

    Raises:
        GatewayError: BYTES_EXCEEDED, TOO_MANY_AT_ONCE.
    """
    await budgets.charge_bytes(payer, size)
    read = 0
    try:
        async with place:
            began = clock()
            try:
                yield
                read = size
            except BaseException as error:
                if not isinstance(error, GatewayError) or error.kind not in _NOTHING_READ:
                    read = int((clock() - began) * FASTEST_BYTES_PER_SECOND)
                raise
    finally:
        await budgets.refund_bytes(payer, size, read)
