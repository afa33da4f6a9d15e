"""Runs pip, which is silent for minutes when nobody is at a terminal, and says every few seconds how far it is.

    python progress.py PIP ARGUMENTS…

Needs only Python's own library, because it runs before anything is installed. What pip says is shown if it fails.
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
            # Of all these modules few are ever imported: those are compiled then.
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
    """What pip is doing, by what it has said so far."""
    names = list(dict.fromkeys(_FOUND.findall(said)))
    if "\nInstalling collected packages" in said:
        return f"installing {len(names)} packages"
    return f"{len(names)} packages found, now {names[-1]}" if names else "starting"


if __name__ == "__main__":
    sys.exit(main())
