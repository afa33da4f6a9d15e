"""How slow this machine is now, and waiting for events: no test bets on the speed of the machine that it runs on.

Seconds in the tests are those of a machine of two idle cores on which `WORK` takes `REFERENCE_SECONDS`. Where a
test needs a time that is long enough for the work of a moment, it asks for `scaled(seconds)`.

That is measured once, because some tests depend on several such times at once: a lease, and a wait that is longer. What
only ends a wait, or a test, is scaled with the load that there is then.
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
        os.environ[VARIABLE] = f"{_measured():.2f}"
    return float(os.environ[VARIABLE])


def scaled(seconds: float) -> float:
    """As much time as those seconds are on the machine whose seconds the tests name."""
    return seconds * slowness()


def slowness_under_load() -> float:
    """As `slowness`, and more if more processes share the machine now than at the start of the run."""
    return max(slowness(), os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_until(holds: Callable[[], object], *, seconds: float = 60, what: str = "it") -> None:
    """Waits for an event that nobody tells of; after the seconds, scaled with the load, it is said not to come."""
    begun, allowed = time.monotonic(), scaled(seconds)
    while not holds():
        waited = time.monotonic() - begun
        if waited >= allowed:
            # The machine may be slower than at the start of the run.
            allowed = seconds * max(slowness_under_load(), _measured())
            assert waited < allowed, f"{what} did not come in {waited:.0f} s"
        time.sleep(0.02)


async def settled(turns: int = 200) -> None:
    """Lets every task of this event loop go on until it waits for something other than another task's step.

    A sleep would end after its time, whatever they have done until then.
    """
    for _ in range(turns):
        await asyncio.sleep(0)


def _measured() -> float:
    usual = statistics.median(_seconds_of_work() for _ in range(ROUNDS))
    return max(1.0, usual / REFERENCE_SECONDS)


def _seconds_of_work() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", WORK], check=True)
    return time.monotonic() - begun
