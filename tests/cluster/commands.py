"""Running other programs, with errors that show what they printed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The programs that pip installs beside this Python: kubectl.
PYTHON_PROGRAMS = Path(sys.executable).parent


class CommandError(Exception):
    """A program failed; the message holds the end of what it printed."""


class NotReadyError(Exception):
    """Something did not become ready within its time."""


def run(
    argv: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 3600,
) -> str:
    """Runs a program to its end and returns what it printed on its standard output."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=stdin,
        text=True,
        capture_output=True,
        timeout=scaled(timeout_seconds),
        check=False,
    )
    if done.returncode:
        printed = (done.stdout + done.stderr).strip()
        raise CommandError(f"{' '.join(words)[:300]} exited with {done.returncode}:\n{printed[-3000:]}")
    return done.stdout


def wait_until(what: str, check: Callable[[], bool], *, seconds: float, pause: float = 0.2) -> None:
    """Asks until the check is true; an exception of the check counts as 'not yet'. The seconds are scaled."""
    seconds = scaled(seconds)
    deadline = time.monotonic() + seconds
    problem: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if check():
                return
        except Exception as error:  # noqa: BLE001
            problem = error
        time.sleep(pause)
    raise NotReadyError(
        f"{what}: not ready within {seconds:.0f} s" + (f" (last problem: {problem})" if problem else "")
    )
