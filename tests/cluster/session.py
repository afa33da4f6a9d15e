"""One cluster, from its start to the proof that nothing of it is left. This side runs outside the node's namespaces.

Three processes hold it, so that none can die alone: the *session* (this one), a *keeper* in a session of its own, and
the node's first process. The keeper reads a pipe that the session holds; when the session is gone, however it went,
the pipe ends, and the keeper kills the node and sweeps. When the keeper is gone, the kernel kills the node
(parent-death signals), and the session sweeps. When both are gone, the next start sweeps.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.cluster.layout import CHECKOUT, LAYOUT, RunLayout
from tests.cluster.leftovers import IDENTITY_VARIABLE, run_folders, sweep
from tests.cluster.node.facts import CGROUP_PREFIX, OPENSTACK_NETWORK
from tests.cluster.progress import say
from tests.machine import scaled

if TYPE_CHECKING:
    from types import TracebackType

_BOOT_SECONDS = 300


class ClusterError(Exception):
    """The cluster did not start, or is not running."""


@dataclass(frozen=True)
class RunningCluster:
    """What others need to reach a running cluster; kept in its state file."""

    identity: str
    folder: str
    # The node's first process, as this machine numbers it. Entering its namespaces is being on the node.
    node_pid: int
    api: str

    @property
    def layout(self) -> RunLayout:
        return RunLayout(Path(self.folder))

    @property
    def is_ready(self) -> bool:
        return (self.layout.folder / "ready").exists() and Path(f"/proc/{self.node_pid}").exists()

    def on_node(self, *argv: str) -> list[str]:
        """The command line that runs a program on the node."""
        return ["nsenter", f"--target={self.node_pid}", "--mount", "--net", "--pid", "--", *argv]

    def on_openstack_side(self, *argv: str) -> list[str]:
        """The command line that runs a program outside the cluster, at the other end of the node's cable."""
        return self.on_node("ip", "netns", "exec", OPENSTACK_NETWORK, *argv)


def find_running() -> RunningCluster | None:
    """The cluster of this checkout that is ready now, if there is one."""
    for folder in run_folders():
        state = folder / "state.json"
        if state.is_file():
            cluster = RunningCluster(**json.loads(state.read_text()))
            if cluster.is_ready:
                return cluster
    return None


class ClusterSession:
    """Starts a cluster and ends it. One at a time in a checkout."""

    def __init__(self) -> None:
        self.identity = secrets.token_hex(4)
        self.layout = RunLayout(LAYOUT.runs / self.identity)
        self._lock: IO[str] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self.cluster: RunningCluster | None = None

    def __enter__(self) -> RunningCluster:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> RunningCluster:
        """Boots; returns when everything in the cluster is ready."""
        self._take_lock()
        for folder in run_folders():
            say(f"sweeping what an earlier cluster left: {folder.name}")
            sweep(folder.name)
        self.layout.folder.mkdir(parents=True)
        started = time.monotonic()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
            self._start_keeper(door)
            self.cluster = self._await_node(f"https://127.0.0.1:{door.getsockname()[1]}")
        while not self.cluster.is_ready:
            self.check()
            if time.monotonic() - started > scaled(_BOOT_SECONDS):
                raise ClusterError(f"the cluster was not ready within {_BOOT_SECONDS} s")
            time.sleep(0.1)
        say(f"cluster {self.identity} ready after {time.monotonic() - started:.1f} s")
        return self.cluster

    def check(self) -> None:
        """Raises when the node has ended."""
        if self._keeper is None or self._keeper.poll() is not None:
            raise ClusterError("the node ended by itself; its last words are above")

    def stop(self) -> None:
        """Ends everything; nothing of the cluster is left when this returns."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._keeper:
            self._keeper.wait()
        sweep(self.identity)
        if self._lock:
            self._lock.close()

    def _take_lock(self) -> None:
        LAYOUT.runs.mkdir(parents=True, exist_ok=True)
        self._lock = (LAYOUT.runs / "lock").open("w")
        deadline = time.monotonic() + scaled(30)  # a keeper that is still sweeping holds it
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClusterError("another test cluster runs in this checkout") from None
                time.sleep(0.2)
            else:
                return

    def _start_keeper(self, door: socket.socket) -> None:
        reading, self._pipe = os.pipe()
        assert self._lock is not None
        lock = self._lock.fileno()
        told = {"identity": self.identity, "pipe": reading, "door": door.fileno(), "lock": lock}
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.keeper", json.dumps(told)],
            pass_fds=(reading, door.fileno(), lock),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=CHECKOUT,
            env={**os.environ, IDENTITY_VARIABLE: self.identity, "PYTHONPATH": str(CHECKOUT)},
        )
        os.close(reading)

    def _await_node(self, api: str) -> RunningCluster:
        """The keeper writes the node's process id as soon as there is one."""
        file = self.layout.folder / "node.pid"
        while not file.exists():
            self.check()
            time.sleep(0.02)
        cluster = RunningCluster(self.identity, str(self.layout.folder), int(file.read_text()), api)
        self.layout.state.write_text(json.dumps(asdict(cluster)))
        return cluster


def cgroup_of(identity: str) -> str:
    """The name of a cluster's root cgroups."""
    return f"{CGROUP_PREFIX}{identity}"
