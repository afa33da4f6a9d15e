"""A relay that counts what passes: requests by method, target and the status that answered them."""

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from relay import Relay

_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP/1\.1\r\n")
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)")
# A line that ends in the next piece.
_LONGEST_LINE = 4_096

Request = tuple[str, str]


class Counting(Relay):
    """Counts answered requests; one whose answer never came is not among them."""

    def __init__(self, target_port: int) -> None:
        self._answered: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()
        super().__init__(target_port)

    def watch(self) -> tuple[Callable[[bytes], None], Callable[[bytes], None]]:
        """HTTP/1.1 without pipelining: a status belongs to the last request of its connection."""
        asked: list[Request] = []

        def sent(match: re.Match[bytes]) -> None:
            asked[:] = [(match[1].decode(), match[2].decode())]

        def received(match: re.Match[bytes]) -> None:
            if asked:
                with self._lock:
                    self._answered[*asked.pop(), int(match[1])] += 1

        return _each(_REQUEST, sent), _each(_STATUS, received)

    def count(self, method: str, *, status: int = 200) -> int:
        """How many requests of a method were answered so."""
        return self.by_target(method, status=status).total()

    def by_target(self, method: str, *, status: int = 200) -> Counter[str]:
        """The same by path, without the query."""
        with self._lock:
            answered = dict(self._answered)
        found: Counter[str] = Counter()
        for (each, target, answer), times in answered.items():
            if (each, answer) == (method, status):
                found[target.partition("?")[0]] += times
        return found


def _each(pattern: re.Pattern[bytes], tell: Callable[[re.Match[bytes]], None]) -> Callable[[bytes], None]:
    """Tells of each match in a stream once, also of one that is cut in two pieces."""
    rest = b""

    def take(piece: bytes) -> None:
        nonlocal rest
        seen, end = rest + piece, 0
        for match in pattern.finditer(seen):
            tell(match)
            end = match.end()
        rest = seen[max(end, len(seen) - _LONGEST_LINE) :]

    return take


@contextlib.contextmanager
def counting(target_port: int) -> Iterator[Counting]:
    made = Counting(target_port)
    try:
        yield made
    finally:
        made.close()
