"""Limits the memory of small objects and their lines in bulk requests: in this process, and for each project."""

import contextlib
from collections import Counter
from collections.abc import Iterator

# Bytes of objects are in memory twice while they are sent to a function; lines, while others are waited for.
COPIES = 2
# So that one project leaves memory to the others.
SHARES = 4


class ContentHold:
    """Memory that a caller holds."""

    def __init__(self, taken: "Counter[object]", limit: int, project: object) -> None:
        self._taken = taken
        self._limit = limit
        self._project = project
        self._size = 0

    def grow(self, size: int) -> bool:
        """Takes memory for so many bytes; False if there is none left now. Nobody waits for memory."""
        wanted = COPIES * size
        if self._taken[None] + wanted > self._limit or self._taken[self._project] + wanted > self._limit // SHARES:
            return False
        self._add(wanted)
        return True

    def shrink(self, size: int) -> None:
        """Gives memory for so many bytes back."""
        self._add(-COPIES * size)

    def clear(self) -> None:
        """Gives all of it back."""
        self._add(-self._size)

    def _add(self, size: int) -> None:
        self._size += size
        for key in (None, self._project):
            self._taken[key] += size
            if not self._taken[key]:
                del self._taken[key]


class ContentBudget:
    """The memory of this process for one purpose."""

    def __init__(self, limit: int) -> None:
        """`limit`: in bytes."""
        self._limit = limit
        self._taken: Counter[object] = Counter()

    @contextlib.contextmanager
    def hold(self, project: object) -> Iterator[ContentHold]:
        """Memory for a project, none at first; all of it is given back at the end of the block."""
        hold = ContentHold(self._taken, self._limit, project)
        try:
            yield hold
        finally:
            hold.clear()

    @property
    def taken(self) -> int:
        """Bytes in use."""
        return self._taken[None]
