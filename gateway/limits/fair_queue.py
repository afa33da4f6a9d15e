"""A short line before something that is used up: callers of a project take turns in it, and nobody waits long.

Whoever is at the head asks again and again; the others sleep. A caller with many calls in the line gets no more
turns than one with a single call, and when the line is full, the newest call of whoever has most in it goes.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.limits.backend import Reading

Ask = Callable[[], Awaitable[Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many may wait at once for one limit of one account, and for how long each (seconds)."""

    most: int
    seconds: float


class NoRoomError(Exception):
    """It was not granted in time, or too many wait."""


@dataclass(slots=True, eq=False)
class _Ticket:
    who: str
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False


class _Line:
    """Tickets by caller, in the order of the callers' turns."""

    def __init__(self) -> None:
        self.tickets: dict[str, deque[_Ticket]] = {}
        self.size = 0
        self.changed = asyncio.Event()

    def join(self, who: str, most: int) -> _Ticket | None:
        """A ticket; None if the line is full and this caller has as much in it as anybody."""
        if self.size >= most and not self._make_room(who):
            return None
        ticket = _Ticket(who)
        self.tickets.setdefault(who, deque()).append(ticket)
        self.size += 1
        if self.size == 1:
            ticket.turn.set()
        return ticket

    def leave(self, ticket: _Ticket) -> None:
        """Takes a ticket out; after a turn, the next caller's comes."""
        own = self.tickets.get(ticket.who)
        if own is None or ticket not in own:
            return
        own.remove(ticket)
        self.size -= 1
        had_its_turn = ticket.turn.is_set()
        if not own or had_its_turn:
            del self.tickets[ticket.who]
        if own and had_its_turn:
            # The caller has more to ask for: at the end of the turns.
            self.tickets[ticket.who] = own
        if had_its_turn and self.size:
            next(iter(self.tickets.values()))[0].turn.set()

    def _make_room(self, who: str) -> bool:
        if not self.size:
            return False
        largest = max(self.tickets.values(), key=len)
        if len(largest) <= len(self.tickets.get(who, ())) + 1 or largest[-1].turn.is_set():
            return False
        last = largest.pop()
        self.size -= 1
        last.dropped = True
        last.turn.set()
        return True


class Lines:
    """The lines of this process, by what is waited for."""

    def __init__(self, waiting: Callable[[int], None] = lambda _change: None) -> None:
        """`waiting` is told +1 for each call that begins to wait, and -1 when it ends."""
        self._lines: dict[str, _Line] = {}
        self._waiting = waiting

    async def granted(self, key: str, who: str, ask: Ask, patience: Patience) -> Reading:
        """The reading with which it was granted.

        Args:
            key: what is waited for.
            who: the caller, for the order of turns.
            ask: asks the books, and takes if there is something.
            patience: of this call.

        Raises:
            NoRoomError: the wait would be, or was, too long, or too many wait.
        """
        line = self._lines.get(key)
        if line is None or not line.size:
            reading = await ask()
            if reading.granted:
                return reading
            if reading.wait_seconds > patience.seconds or not patience.most:
                raise NoRoomError
        line = self._lines.setdefault(key, _Line())
        ticket = line.join(who, patience.most)
        if ticket is None:
            raise NoRoomError
        self._waiting(1)
        try:
            return await self._wait(line, ticket, ask, patience)
        finally:
            self._waiting(-1)
            line.leave(ticket)
            if not line.size and self._lines.get(key) is line:
                del self._lines[key]

    def changed(self, key: str) -> None:
        """Something has been given back: the head of the line asks at once."""
        if key in self._lines:
            self._lines[key].changed.set()

    @staticmethod
    async def _wait(line: _Line, ticket: _Ticket, ask: Ask, patience: Patience) -> Reading:
        deadline = asyncio.get_running_loop().time() + patience.seconds
        try:
            async with asyncio.timeout_at(deadline):
                await ticket.turn.wait()
        except TimeoutError:
            raise NoRoomError from None
        while not ticket.dropped:
            line.changed.clear()
            reading = await ask()
            if reading.granted:
                return reading
            left = deadline - asyncio.get_running_loop().time()
            if reading.wait_seconds > left:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(reading.wait_seconds):
                    await line.changed.wait()
        raise NoRoomError
