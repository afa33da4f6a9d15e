"""Throttles background streams: bytes of service callers yield to users who wait for an answer."""

import asyncio
import contextlib
from collections.abc import Iterator

# A stream pauses after each piece of this size, for at most this long, so it never falls below 10 MiB/s.
PIECE_BYTES = 1 << 20
MAX_PAUSE_SECONDS = 0.1
# A request that has waited longer waits for its own work, which a pause does not speed up.
INTERACTIVE_SECONDS = 2.0


class BackgroundThrottle:
    """Counts the users who wait for an answer and have not waited long."""

    def __init__(self) -> None:
        self._waiting: set[object] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def interactive(self) -> Iterator[None]:
        """Marks an interactive request: a user waits for its answer."""
        request = object()
        self._waiting.add(request)
        self._idle.clear()
        timer = asyncio.get_running_loop().call_later(INTERACTIVE_SECONDS, self._discard, request)
        try:
            yield
        finally:
            timer.cancel()
            self._discard(request)

    async def yield_to_interactive(self) -> None:
        """Returns when no user waits, at the latest after `MAX_PAUSE_SECONDS`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), MAX_PAUSE_SECONDS)

    def _discard(self, request: object) -> None:
        self._waiting.discard(request)
        if not self._waiting:
            self._idle.set()
