"""What one admitted call has used so far. Components add to it; its end makes a usage record of it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class CallUsage:
    """Counters of one call. It is mutable, and shared by the parts of a call about many objects.

    Attributes:
        function: a function of the project that the call is about; "": none. Never a name that only the caller knows.
        revision: of the function; "": not known, because several revisions share its calls.
        requests: how often the call counted against the rate limit.
        request_bytes: of the body that the caller has sent.
        response_bytes: of the body that was sent to the caller.
        object_bytes: of objects, as charged to the project.
        function_seconds: from the first byte sent to a function to the end of its reply; all exchanges together.
        mib_seconds: the same, each exchange times the memory of a pod of its function.
        cold_start: whether a function said that its process was started for this call.
    """

    function: str = ""
    revision: str = ""
    requests: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    object_bytes: int = 0
    function_seconds: float = 0.0
    mib_seconds: float = 0.0
    cold_start: bool = False
    _held: int = field(default=0, init=False)
    _settled: Callable[[], None] | None = field(default=None, init=False)

    def add_exchange(self, seconds: float, *, memory_mib: int) -> None:
        """An exchange with a function has ended."""
        self.function_seconds += seconds
        self.mib_seconds += seconds * memory_mib

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Work that may outlast the call: a computation goes on when its caller is told to come again."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held and self._settled is not None:
                settled, self._settled = self._settled, None
                settled()

    def when_settled(self, done: Callable[[], None]) -> None:
        """Calls `done` once no work of the call is left: now, or later."""
        if self._held:
            self._settled = done
        else:
            done()
