"""Repeats a suite and tells what failed in which run: `python -m tests.repeat --runs 30 --busy-runs 10 make test`.

The last `--busy-runs` runs have `--busy-loops` processes beside them that do nothing but compute. The output of each
run is kept in `.cache/repeat/`.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LOGS = Path(__file__).parents[1] / ".cache" / "repeat"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::\S.*?|\S+)(?: - .*)?$|^make(?:\[\d+\])?: \*\*\* (.+)$", re.MULTILINE)


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that compute for as long as the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(command: list[str], log: Path) -> tuple[bool, float]:
    """Whether the command succeeded, and its seconds."""
    started = time.monotonic()
    with log.open("wb") as file:
        # Each run measures the machine anew.
        environment = {name: value for name, value in os.environ.items() if name != "TEST_MACHINE_SLOWNESS"}
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    return done.returncode == 0, time.monotonic() - started


def failures(output: str) -> list[str]:
    """What pytest and make say has failed."""
    return list(dict.fromkeys(test or target for test, target in _FAILED.findall(output)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--busy-runs", type=int, default=0)
    parser.add_argument("--busy-loops", type=int, default=4)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = 0
    for number in range(1, chosen.runs + 1):
        loops = chosen.busy_loops if number > chosen.runs - chosen.busy_runs else 0
        log = LOGS / f"{number}.log"
        with busy(loops):
            succeeded, seconds = run(chosen.command or ["make", "test"], log)
        beside = f" beside {loops} busy loops" if loops else ""
        print(f"run {number}{beside}: {'passed' if succeeded else 'FAILED'} in {seconds:.0f} s ({log})", flush=True)
        if not succeeded:
            failed += 1
            for name in failures(log.read_text(errors="replace")):
                print(f"    {name}", flush=True)
    print(f"{failed} of {chosen.runs} runs failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
