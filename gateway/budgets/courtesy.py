"""Who comes first when bytes go through this process: a service's stream gives way while users wait for answers."""

import asyncio
import contextlib
from collections.abc import Iterator

# A stream stops after each piece of this size, for no longer than this: it never falls below 20 MiB a second by it.
PIECE_BYTES = 1 << 20
LONGEST_PAUSE_SECONDS = 0.05


class Courtesy:
    """Counts the users who wait for an answer."""

    def __init__(self) -> None:
        self._waiting = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    @contextlib.contextmanager
    def user(self) -> Iterator[None]:
        """A user waits for an answer."""
        self._waiting += 1
        self._nobody.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._nobody.set()

    async def give_way(self) -> None:
        """Returns when no user waits, and after `LONGEST_PAUSE_SECONDS` in any case."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nobody.wait(), LONGEST_PAUSE_SECONDS)
