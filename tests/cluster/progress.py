"""Progress lines with their times."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTED = time.monotonic()


def say(line: str) -> None:
    """Prints one progress line at once, also into a pipe."""
    sys.stdout.write(f"[cluster {time.monotonic() - _STARTED:6.1f}s] {line}\n")
    sys.stdout.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is done and how long it took; says also that it failed."""
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{what}: FAILED after {time.monotonic() - started:.1f} s")
        raise
    say(f"{what}: {time.monotonic() - started:.1f} s")
