"""Why a goal is missed: where the processors' time goes while the work is done once more, and which code takes it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tests.bench.measure import Probe, cpu_seconds

SAMPLES_PER_SECOND = 200
LONGEST_SECONDS = 15
SHOWN = 6
# What takes less of the processors is not worth a word.
LEAST_SHARE = 0.02
# With so little idle time the processors are the bound.
BUSY_SHARE = 0.15
# Clients that generate load belong to them.
OTHERS, MOST_OF_OTHERS = "clients and others", 0.5
_HERE = Path(__file__).resolve().parents[2]
# Where threads and event loops wait: on a busy machine py-spy takes them for active.
_WAITS = frozenset(["Runner.run", "EpollSelector.select", "_worker", "Condition.wait"])
_FROZEN = re.compile(r"<frozen (\w+)")
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>.*?)(?::\d+)?\)")


def explain(probe: Probe) -> list[str]:
    """Repeats the work; says where the time went, which code took it, and what the bound is."""
    stacks: list[tuple[Sequence[str], int]] | None
    if probe.command is not None:
        stacks, lines, name = _profiled_command(*probe.command), [], "the program"
    else:
        assert probe.repeat is not None
        assert probe.profiled is not None
        name, pid = probe.profiled
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "stacks")
            shares = _watched(probe, _recorder(out, pid))
            stacks = read_stacks(out.read_text(encoding="utf-8")) if out.exists() else None
        lines = [f"processors: {as_text(shares)}"]
        if shares[OTHERS] > MOST_OF_OTHERS:
            lines.append("others had most of the processors: figures of an idle machine are needed")
        elif shares["idle"] < BUSY_SHARE:
            lines.append("limited by the processors: they are shared by all that are named")
    lines.append(f"{name}: {as_text(by_package(stacks))}" if stacks else f"{name}: no profile (py-spy may not look in)")
    if stacks:
        lines.append(f"most in {as_text(by_function(stacks))}")
    return [*lines, *([f"bound: {probe.bound}"] if probe.bound else [])]


def _watched(probe: Probe, recorder: subprocess.Popen[bytes] | None) -> dict[str, float]:
    """Shares of the processors while the work is repeated."""
    assert probe.repeat is not None
    assert probe.profiled is not None
    pids = {**dict([probe.profiled]), **probe.beside}
    ended = threading.Event()
    stopper = threading.Thread(target=_stop, args=(recorder, ended))
    stopper.start()
    before, idle, started = {name: cpu_seconds(pid) for name, pid in pids.items()}, _idle(), time.monotonic()
    try:
        probe.repeat()
    finally:
        total = (time.monotonic() - started) * (os.cpu_count() or 1)
        shares = {name: (cpu_seconds(pid) - before[name]) / total for name, pid in pids.items()}
        shares["idle"] = min(1.0, (_idle() - idle) / total)
        ended.set()
        stopper.join()
    shares[OTHERS] = max(0.0, 1 - sum(shares.values()))
    return shares


def _stop(recorder: subprocess.Popen[bytes] | None, ended: threading.Event) -> None:
    """Ends the recorder with the work; it writes what it has then."""
    if recorder is not None:
        ended.wait(LONGEST_SECONDS + 600)
        recorder.send_signal(2)
        recorder.wait(60)


def _idle() -> float:
    """Seconds in which processors have been idle (proc(5), /proc/stat)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def _py_spy() -> str | None:
    own = Path(".cache/bench/venv/bin/py-spy")
    return str(own) if own.exists() else shutil.which("py-spy")


def _arguments(out: Path) -> list[str] | None:
    program = _py_spy()
    if program is None:
        return None
    rate = str(SAMPLES_PER_SECOND)
    return [program, "record", "-r", rate, "--full-filenames", "--format", "raw", "-o", str(out)]


def _recorder(out: Path, pid: int) -> subprocess.Popen[bytes] | None:
    arguments = _arguments(out)
    if arguments is None:
        return None
    recorder = subprocess.Popen([*arguments, "--pid", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)  # until it has found the interpreter
    return recorder


def _profiled_command(
    command: Sequence[str | Path], environment: Mapping[str, str]
) -> list[tuple[Sequence[str], int]] | None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "stacks")
        arguments = _arguments(out)
        if arguments is None:
            return None
        whole = [*arguments, "--", *map(str, command)]
        subprocess.run(
            whole, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        return read_stacks(out.read_text(encoding="utf-8")) if out.exists() else None


def read_stacks(text: str) -> list[tuple[Sequence[str], int]]:
    """The samples of py-spy's raw format: frames from the outermost one on, and how often they were seen."""
    found = []
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if count.isdigit() and frames:
            found.append((frames.split(";"), int(count)))
    return found


def by_package(stacks: Iterable[tuple[Sequence[str], int]]) -> dict[str, float]:
    """Shares of time by the package of the innermost frame; time in C counts for the Python function that called it."""
    return _shares(stacks, lambda frames: _package(frames[-1]))


def by_function(stacks: Iterable[tuple[Sequence[str], int]]) -> dict[str, float]:
    """The same by function."""
    return _shares(stacks, lambda frames: f"{_function(frames[-1])} ({_package(frames[-1])})")


def _shares(stacks: Iterable[tuple[Sequence[str], int]], name: Callable[[Sequence[str]], str]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for frames, count in stacks:
        if _function(frames[-1]) not in _WAITS:
            counts[name(frames)] += count
    total = counts.total()
    return {each: count / total for each, count in counts.most_common()}


def _function(frame: str) -> str:
    match = _FRAME.fullmatch(frame)
    return match["function"] if match else frame


def _package(frame: str) -> str:
    """`gateway.objects` of our own code, the top package of others'."""
    match = _FRAME.fullmatch(frame)
    path = Path(match["file"] if match else frame)
    if (frozen := _FROZEN.match(path.name)) is not None:
        return frozen[1]
    if path.is_relative_to(_HERE) and "site-packages" not in path.parts:
        return ".".join(path.relative_to(_HERE).parent.parts[-2:]) or path.stem
    for folder in ("site-packages", "dist-packages"):
        if folder in path.parts:
            return path.parts[path.parts.index(folder) + 1].removesuffix(".py")
    return path.parent.name if path.parent.name not in {"", f"python3.{sys.version_info[1]}"} else path.stem


def as_text(shares: Mapping[str, float]) -> str:
    """The largest shares."""
    worth = [(name, share) for name, share in shares.items() if share >= LEAST_SHARE]
    largest = sorted(worth, key=lambda each: -each[1])[:SHOWN]
    return ", ".join(f"{name} {share:.0%}" for name, share in largest)
