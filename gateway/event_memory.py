"""A bounded memory of processed events, shared fairly by projects."""

from collections import OrderedDict

from policies.names import ProjectId


class EventMemory:
    """Keys of events. When it is full, the oldest key of the project with the most keys is evicted."""

    def __init__(self, entries: int) -> None:
        """`entries`: of all projects together."""
        self._entries = entries
        self._size = 0
        self._projects: dict[ProjectId, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return self._size

    def knows(self, project_id: ProjectId, key: bytes) -> bool:
        """Whether the key was added and is still there; it then counts as the newest."""
        own = self._projects.get(project_id)
        if own is None or key not in own:
            return False
        own.move_to_end(key)
        return True

    def add(self, project_id: ProjectId, key: bytes) -> None:
        """Adds a key."""
        if not self._entries or self.knows(project_id, key):
            return
        if self._size >= self._entries:
            self._drop_one(project_id)
        self._projects.setdefault(project_id, OrderedDict())[key] = None
        self._size += 1

    def _drop_one(self, project_id: ProjectId) -> None:
        loser = project_id
        if len(self._projects.get(project_id, ())) * len(self._projects) < self._entries:
            # It has less than its share, so another project has more.
            loser = max(self._projects, key=lambda each: len(self._projects[each]))
        self._projects[loser].popitem(last=False)
        self._size -= 1
        if not self._projects[loser]:
            del self._projects[loser]
