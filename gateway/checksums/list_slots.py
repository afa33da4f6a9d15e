"""Limits the memory of concurrent lists of objects or events.

A list is in memory from the start of its body to the end of its answer, and its caller controls how long that is: by
sending slowly, by reading slowly, or with objects that wait for a limit. So it holds a slot for that time, sized
by its body. One user gets at most half of the project's limit, so that no user blocks the events of others; and each
project has a limit, so that other projects have the rest.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.settings.limits import ChecksumSettings

# Memory of a request in addition to its body: its connection and its tasks.
LEAST_BYTES = 32_768


@dataclass(slots=True)
class ListSlot:
    """The slot of one request."""

    _taken: "Counter[object]"
    _accounts: tuple[object, ...]
    size: int

    def shrink(self, length: int) -> None:
        """Shrinks the slot to the actual length of the body."""
        self._give_back(max(0, self.size - max(length, LEAST_BYTES)))

    def release(self) -> None:
        """Releases the slot."""
        self._give_back(self.size)

    def _give_back(self, size: int) -> None:
        self.size -= size
        for account in self._accounts:
            self._taken[account] -= size
            if not self._taken[account]:
                del self._taken[account]


def declared_length(headers: Mapping[str, str]) -> int | None:
    """The declared length of the body; None if it is chunked. The head is already validated."""
    if "transfer-encoding" in headers:
        return None
    return int(headers.get("content-length", "0"))


class ListSlots:
    """The slots of this process.

    They are no `FairQueue`: what is limited is bytes of memory, of which each request takes another amount, not a
    number of slots. And a request that had to wait would hold its body, the very memory that is short: it is refused.
    """

    def __init__(self, settings: ChecksumSettings) -> None:
        self._settings = settings
        self._taken: Counter[object] = Counter()
        # Bodies are parsed one at a time, so that their pauses of the event loop do not add up.
        self.parsing = asyncio.Lock()

    @contextlib.contextmanager
    def slot(self, caller: Caller, declared: int | None) -> Iterator[ListSlot]:
        """Holds a slot.

        Args:
            caller: of the request.
            declared: length of the body; None if unknown.

        Raises:
            GatewayError: BULK_EXCEEDED.
        """
        settings, project = self._settings, caller.project_id
        shares = {
            (project, caller.user_id): (settings.bulk_project_bytes // 2, f"one user of project {project}"),
            project: (settings.bulk_project_bytes, f"project {project}"),
            None: (settings.bulk_process_bytes, "this gateway"),
        }
        wanted = max(LEAST_BYTES, settings.bulk_body_max_bytes if declared is None else declared)
        # A single list of any size is accepted if there is no other.
        size = min(wanted, *(limit for limit, _ in shares.values()))
        for account, (limit, whose) in shares.items():
            if self._taken[account] + size > limit:
                raise GatewayError(ErrorCode.BULK_EXCEEDED, whose=whose, limit=limit)
        self._taken.update(dict.fromkeys(shares, size))
        slot = ListSlot(self._taken, tuple(shares), size)
        try:
            yield slot
        finally:
            slot.release()

    @property
    def taken(self) -> int:
        """Bytes in use, in total."""
        return self._taken[None]
