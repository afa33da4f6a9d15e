"""Processes of the local cloud: started under a reaper, awaited by port, killed and restarted by tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.errors import CloudError

REAPER = Path(__file__).with_name("reaper.py")
# A process that ends is noticed at once; the rest is for a busy machine.
START_SECONDS = 180.0


@dataclass
class Service:
    """One process with a port, on loopback by default."""

    name: str
    command: Sequence[str]
    port: int
    state: Path
    env: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"
    _reaper: "subprocess.Popen[bytes] | None" = None
    _lifeline: int | None = None

    @property
    def log(self) -> Path:
        return self.state / "logs" / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Process id of the command, which is the leader of its process group."""
        return int((self.state / "run" / f"{self.name}.pid").read_text(encoding="ascii"))

    def start(self) -> None:
        """Starts the process without waiting for it."""
        pid_file = self.state / "run" / f"{self.name}.pid"
        for folder in (pid_file.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        reading, self._lifeline = os.pipe()
        try:
            self._reaper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(REAPER), str(reading), str(pid_file), str(self.log), *self.command],
                pass_fds=[reading],
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        finally:
            os.close(reading)

    def wait(self) -> None:
        """Waits until the port answers.

        Raises:
            CloudError: it did not, or the process ended.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._reaper is not None and self._reaper.poll() is not None:
                break
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise CloudError(f"{self.name} does not respond on port {self.port}; its log: {self.log}\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:]) if self.log.exists() else ""

    def kill(self) -> None:
        """Kills the process and its children, like a crash."""
        self.signal(signal.SIGKILL)
        self.stop()

    def signal(self, number: int) -> None:
        """Sends a signal to the process and its children, e.g. SIGSTOP and SIGCONT."""
        os.killpg(self.pid, number)

    def restart(self) -> None:
        """Starts it again after `kill`, on the same port, and waits for it."""
        self.start()
        self.wait()

    def exit_status(self) -> int | None:
        """The exit status of the process, if it has ended by itself."""
        return None if self._reaper is None else self._reaper.poll()

    def stop(self) -> None:
        """Ends the process and its children; does nothing if they are gone."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._reaper is not None:
            self._reaper.wait()
            self._reaper = None
