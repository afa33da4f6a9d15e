"""How slow this machine is now, and waiting for events: no test bets on the speed of the machine that it runs on.

Seconds in the tests are those of a machine of two idle cores on which `WORK` takes `REFERENCE_SECONDS`. Where a
test needs a time that is long enough for the work of a moment, it asks for `scaled(seconds)`.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

# Some of what a service does at its start: a process, reading, hashing, the interpreter's loop.
WORK = "import hashlib; hashlib.sha256(bytes(1 << 26)).digest(); sum(range(2_000_000))"
REFERENCE_SECONDS = 0.13
ROUNDS = 3
# One measurement for a whole run: the workers of pytest-xdist inherit it.
VARIABLE = "TEST_MACHINE_SLOWNESS"


def slowness() -> float:
    """How many times longer work takes than on the machine whose seconds the tests name; never below 1."""
    if VARIABLE not in os.environ:
        usual = statistics.median(_seconds_of_work() for _ in range(ROUNDS))
        os.environ[VARIABLE] = f"{max(1.0, usual / REFERENCE_SECONDS):.2f}"
    return float(os.environ[VARIABLE])


def scaled(seconds: float) -> float:
    """As much time as those seconds are on the machine whose seconds the tests name."""
    return seconds * slowness()


def wait_until(holds: Callable[[], object], *, seconds: float = 60, what: str = "it") -> None:
    """Waits for an event that nobody tells of; after the seconds, scaled, it is said not to come."""
    deadline = time.monotonic() + scaled(seconds)
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


async def settled(turns: int = 200) -> None:
    """Lets every task of this event loop go on until it waits for something other than another task's step.

    A sleep would end after its time, whatever they have done until then.
    """
    for _ in range(turns):
        await asyncio.sleep(0)


def _seconds_of_work() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", WORK], check=True)
    return time.monotonic() - begun
