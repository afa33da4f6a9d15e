"""Progress lines with their times."""

from __future__ import annotations

import resource
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
def step(what: str, *, processor: bool = False) -> Iterator[None]:
    """Says what is done and how long it took; says also that it failed.

    Args:
        what: the line.
        processor: say also how much processor time the programs took that were run meanwhile. On a machine that does
            other work too, that is the figure to compare.
    """
    started, spent = time.monotonic(), _processor_seconds()
    try:
        yield
    except BaseException:
        say(f"{what}: FAILED after {time.monotonic() - started:.1f} s")
        raise
    used = f" ({_processor_seconds() - spent:.0f} s of processor)" if processor else ""
    say(f"{what}: {time.monotonic() - started:.1f} s{used}")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
