"""A budget whose callers wait for their turn: computations of service callers, per project, in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.errors import GatewayError, Kind
from policies.names import ProjectId

_COME_BACK_SECONDS = 30


@dataclass(slots=True)
class _Line:
    places: asyncio.Semaphore
    present: int = field(default=0)


class WaitingBudget:
    """A few computations run at once, and more of them wait in the order of arrival.

    A storage federation asks for many objects at once and takes a refusal for a failed transfer, so it is made to
    wait. Users have places of their own, which it cannot take.
    """

    def __init__(self, limit: int, queue: int) -> None:
        self._limit = limit
        self._queue = queue
        self._lines: dict[ProjectId, _Line] = {}

    @contextlib.asynccontextmanager
    async def slot(self, project_id: ProjectId) -> AsyncIterator[None]:
        """Holds one of the project's places, as soon as one is free.

        Raises:
            GatewayError: TOO_MANY_AT_ONCE, if too many wait already.
        """
        line = self._lines.setdefault(project_id, _Line(asyncio.Semaphore(self._limit)))
        if line.present >= self._limit + self._queue:
            raise GatewayError(
                Kind.TOO_MANY_AT_ONCE,
                project_id=project_id,
                limit=self._limit + self._queue,
                retry_after_seconds=_COME_BACK_SECONDS,
            )
        line.present += 1
        try:
            async with line.places:
                yield
        finally:
            line.present -= 1
            if not line.present:
                del self._lines[project_id]
