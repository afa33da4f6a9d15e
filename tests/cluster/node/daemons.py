"""The programs of the node: started with a log file each; when one ends, the node ends."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.commands import NotReadyError
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class DaemonError(Exception):
    """A program of the node ended by itself; the message holds the end of its log."""


@dataclass
class Daemons:
    """All programs of one node."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Starts one; its output goes to logs/NAME.log."""
        with (self.logs / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def check(self) -> None:
        """Raises if one of them has ended."""
        # A copy: another thread of the boot may be starting one.
        for name, process in tuple(self.running.items()):
            status = process.poll()
            if status is not None:
                raise DaemonError(f"{name} ended with {status}:\n{self.last_words(name)}")

    def last_words(self, name: str) -> str:
        """The end of a log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-25:])

    def wait(self, name: str, ready: Callable[[], bool], *, seconds: float) -> None:
        """Waits until a program is ready; an ended one, of all, is an error at once."""
        deadline = time.monotonic() + scaled(seconds)
        problem = ""
        while time.monotonic() < deadline:
            self.check()
            try:
                if ready():
                    return
            except Exception as error:  # noqa: BLE001
                problem = f" ({error})"
            time.sleep(0.1)
        raise NotReadyError(f"{name}: not ready within {seconds:.0f} s{problem}\n{self.last_words(name)}")
