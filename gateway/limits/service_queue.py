"""A first-in, first-out queue for computations of service callers, per project and process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.errors import ErrorCode, GatewayError
from policies.names import ProjectId

_RETRY_AFTER_SECONDS = 30


@dataclass(slots=True)
class _Queue:
    slots: asyncio.Semaphore
    size: int = field(default=0)


class ServiceCallerQueue:
    """Runs a few computations at once; more of them wait in the order of arrival.

    A storage federation requests many objects at once and takes a rejection for a failed transfer, so its requests
    queue. Users have separate slots, which a service caller cannot take.

    It is no `FairQueue`: the callers that wait here are one federation's, so round robin between them would serve
    nobody better and would let late requests overtake early ones, whose transfers run into their timeouts first.
    """

    def __init__(self, limit: int, queue: int) -> None:
        self._limit = limit
        self._max_queued = queue
        self._queues: dict[ProjectId, _Queue] = {}

    @contextlib.asynccontextmanager
    async def slot(self, project_id: ProjectId) -> AsyncIterator[None]:
        """Holds one of the project's slots, as soon as one is free.

        Raises:
            GatewayError: CONCURRENCY_EXCEEDED, if the queue is full.
        """
        queue = self._queues.setdefault(project_id, _Queue(asyncio.Semaphore(self._limit)))
        if queue.size >= self._limit + self._max_queued:
            raise GatewayError(
                ErrorCode.CONCURRENCY_EXCEEDED,
                whose=f"project {project_id}",
                limit=self._limit + self._max_queued,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        queue.size += 1
        try:
            async with queue.slots:
                yield
        finally:
            queue.size -= 1
            if not queue.size:
                del self._queues[project_id]
