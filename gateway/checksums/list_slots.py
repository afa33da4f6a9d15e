"""How many lists of objects, or of events, are in work at once.

A list is held in memory from before its body is read until its answer has ended, and its caller decides when that is:
by sending slowly, by reading slowly, by asking for objects that wait for a limit. So it takes a slot for all of that
time, sized by its body. One user takes half of what the project may have at most, so that nobody silences the events
that others send; and one project takes what it may have, so that other projects have the rest.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller

# What a request costs beside its body: its connection, its tasks, what they hold.
LEAST_BYTES = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLimits:
    """Bytes of bodies in work at once, in one process (see `Settings` for each)."""

    body_bytes: int
    project_bytes: int
    process_bytes: int


@dataclass(slots=True)
class ListSlot:
    """The slot of one request."""

    _taken: "Counter[object]"
    _accounts: tuple[object, ...]
    size: int

    def shrink(self, length: int) -> None:
        """Gives back what was taken too much, now that the length of the body is known."""
        self._give_back(max(0, self.size - max(length, LEAST_BYTES)))

    def release(self) -> None:
        """Gives back all of it."""
        self._give_back(self.size)

    def _give_back(self, size: int) -> None:
        self.size -= size
        for account in self._accounts:
            self._taken[account] -= size
            if not self._taken[account]:
                del self._taken[account]


def declared_length(headers: Mapping[str, str]) -> int | None:
    """The length of the body that a request announces; None if it does not say. The head is a good one."""
    if "transfer-encoding" in headers:
        return None
    return int(headers.get("content-length", "0"))


class ListSlots:
    """The slots of this process."""

    def __init__(self, limits: ListLimits) -> None:
        self._limits = limits
        self._taken: Counter[object] = Counter()
        # Bodies are parsed one at a time: several in one turn of the event loop would add up.
        self.parsing = asyncio.Lock()

    @contextlib.contextmanager
    def slot(self, caller: Caller, declared: int | None) -> Iterator[ListSlot]:
        """Holds a slot.

        Args:
            caller: who asks.
            declared: the length of the body; None if the request does not say.

        Raises:
            GatewayError: LISTS_EXCEEDED.
        """
        limits, project = self._limits, caller.project_id
        shares = {
            (project, caller.user_id): (limits.project_bytes // 2, f"one user of project {project}"),
            project: (limits.project_bytes, f"project {project}"),
            None: (limits.process_bytes, "this gateway"),
        }
        wanted = max(LEAST_BYTES, limits.body_bytes if declared is None else declared)
        # One list of any size is worked on if there is no other.
        size = min(wanted, *(limit for limit, _ in shares.values()))
        for account, (limit, whose) in shares.items():
            if self._taken[account] + size > limit:
                raise GatewayError(ErrorCode.LISTS_EXCEEDED, whose=whose, limit=limit)
        self._taken.update(dict.fromkeys(shares, size))
        slot = ListSlot(self._taken, tuple(shares), size)
        try:
            yield slot
        finally:
            slot.release()

    @property
    def taken(self) -> int:
        """Bytes that are taken now, by all."""
        return self._taken[None]
