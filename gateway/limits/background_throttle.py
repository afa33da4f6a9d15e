"""Who comes first when bytes go through this process: a service's stream gives way while users wait for answers."""

import asyncio
import contextlib
from collections.abc import Iterator

# A stream stops after each piece of this size, for no longer than this: it never falls below 10 MiB a second by it.
PIECE_BYTES = 1 << 20
LONGEST_PAUSE_SECONDS = 0.1
# Who has waited for longer waits for work of its own, which does not become quicker by this.
INTERACTIVE_SECONDS = 2.0


class Courtesy:
    """Counts the users who wait for an answer, and have not waited long."""

    def __init__(self) -> None:
        self._waiting: set[object] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()

    @contextlib.contextmanager
    def user(self) -> Iterator[None]:
        """A user waits for an answer."""
        who = object()
        self._waiting.add(who)
        self._nobody.clear()
        patience = asyncio.get_running_loop().call_later(INTERACTIVE_SECONDS, self._leave, who)
        try:
            yield
        finally:
            patience.cancel()
            self._leave(who)

    async def give_way(self) -> None:
        """Returns when no user waits, and after `LONGEST_PAUSE_SECONDS` in any case."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nobody.wait(), LONGEST_PAUSE_SECONDS)

    def _leave(self, who: object) -> None:
        self._waiting.discard(who)
        if not self._waiting:
            self._nobody.set()
