"""Runs pip, which prints nothing for minutes without a terminal, and prints its progress every few seconds.

    python progress.py PIP ARGUMENTS…

Needs only the standard library, because it runs before anything is installed. If pip fails, its output is printed.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EVERY_SECONDS = 5.0
_FOUND = re.compile(r"^ *(?:Collecting|Obtaining|Requirement already satisfied:) ([\w.-]+)", re.MULTILINE)


def main() -> int:
    with tempfile.NamedTemporaryFile(prefix="pip-", suffix=".log") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            # Few of these modules are ever imported, and are then compiled.
            [*sys.argv[1:], "--progress-bar", "off", "--no-compile"],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        while True:
            try:
                status = process.wait(timeout=EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                said = Path(log.name).read_text(encoding="utf-8", errors="replace")
                print(f"    {time.monotonic() - started:.0f} s: {stage(said)}", flush=True)
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if status:
            sys.stderr.write(Path(log.name).read_text(encoding="utf-8", errors="replace"))
    return status


def stage(said: str) -> str:
    """The current step of pip, from its output so far."""
    names = list(dict.fromkeys(_FOUND.findall(said)))
    if "\nInstalling collected packages" in said:
        return f"installing {len(names)} packages"
    return f"{len(names)} packages found, now {names[-1]}" if names else "starting"


if __name__ == "__main__":
    sys.exit(main())
