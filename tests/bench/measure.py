"""What is measured: CPU time of other processes, wall time, and pairs of runs that are compared with each other."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# clock_getcpuclockid(3) for another process: its threads are counted too, those that have ended as well.
_CPU_OF_PROCESS = 2


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its living descendants, user and system."""
    return sum(time.clock_gettime((~each) << 3 | _CPU_OF_PROCESS) for each in family(pid))


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from family(int(child))


def resident_mib(pid: int) -> float:
    """Resident memory (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


@dataclass(frozen=True, slots=True)
class Command:
    """What a program cost: seconds of the clock and of CPU, and what it printed."""

    seconds: float
    cpu_seconds: float
    output: str


def run_command(arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Command:
    """Runs a program to its end.

    Raises:
        RuntimeError: it failed.
    """
    reading, writing = os.pipe()
    started = time.perf_counter()
    pid = os.posix_spawnp(
        str(arguments[0]),
        [str(each) for each in arguments],
        {**os.environ, **(environment or {})},
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)],
    )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise RuntimeError(f"{arguments[0]} ended with status {os.waitstatus_to_exitcode(status)}: {output}")
    return Command(seconds, usage.ru_utime + usage.ru_stime, output)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be: `at most` or `at least` a limit; of the ratio to the peer, or of our own figure."""

    limit: float
    at_least: bool = False
    of_ratio: bool = True

    def is_met(self, ours: float, ratio: float) -> bool:
        value = ratio if self.of_ratio else ours
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{'x' if self.of_ratio else ''}"


@dataclass(frozen=True, slots=True)
class Probe:
    """How the work of a comparison is repeated to look into it.

    Attributes:
        repeat: does it once more; None: `command` is it.
        profiled: name and id of the process that is looked into.
        beside: ids of the other processes that work for it, by name.
        command: a Python program that is profiled from its start to its end, with its environment.
        bound: what limits the figure, as far as it is known for the row.
    """

    repeat: Callable[[], object] | None = None
    profiled: tuple[str, int] | None = None
    beside: Mapping[str, int] = field(default_factory=dict)
    command: tuple[Sequence[str | Path], Mapping[str, str]] | None = None
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table.

    Attributes:
        row: its name in the goals, e.g. `P1`.
        what: what is measured.
        unit: of the figures.
        ours: figures of the product, one for each run.
        peers: the same of each peer by name; the ratio is taken to the first. Runs are pairs by position.
        goal: see `Goal`; None: for information.
        note: what a reader has to know.
        probe: how to look into it if the goal is missed.
    """

    row: str
    what: str
    unit: str
    ours: Sequence[float]
    peers: Mapping[str, Sequence[float]]
    goal: Goal | None
    note: str = ""
    probe: Probe | None = field(default=None, compare=False)

    @property
    def figure(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float:
        """Ours to the first peer's: the median of the pairs, so that a load that comes and goes hits both."""
        peer = next(iter(self.peers.values()))
        return statistics.median(mine / theirs for mine, theirs in zip(self.ours, peer, strict=True))

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.goal.is_met(self.figure, self.ratio)


@dataclass(slots=True)
class Pairs:
    """Runs of several subjects in turn: A B C, A B C, …"""

    runs: int
    figures: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, **subjects: Callable[[], float]) -> dict[str, list[float]]:
        for _ in range(self.runs):
            for name, subject in subjects.items():
                self.figures.setdefault(name, []).append(subject())
        return self.figures
