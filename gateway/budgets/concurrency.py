"""How many computations a project may have at once, in this process."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from gateway.errors import GatewayError, Kind
from policies.names import ProjectId


class ComputationBudget:
    """Counts running computations per project."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: Counter[ProjectId] = Counter()

    @contextlib.contextmanager
    def slot(self, project_id: ProjectId, limit: int | None = None) -> Iterator[None]:
        """Holds one of the project's places, of which there are `limit`; None: as many as the settings say.

        Raises:
            GatewayError: TOO_MANY_AT_ONCE.
        """
        most = self._limit if limit is None else limit
        if self._running.get(project_id, 0) >= most:
            raise GatewayError(Kind.TOO_MANY_AT_ONCE, project_id=project_id, limit=most)
        self._running[project_id] += 1
        try:
            yield
        finally:
            self._running[project_id] -= 1
            if not self._running[project_id]:
                del self._running[project_id]
