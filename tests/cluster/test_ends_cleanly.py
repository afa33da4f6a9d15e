"""However a cluster ends, nothing of it is left on this machine, and the next one starts.

These tests boot clusters of their own in a second cache folder beside the one of the run, so that they can run while
another cluster does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.commands import wait_until
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.leftovers import cluster_cgroups, find_leftovers
from tests.cluster.platform.kubectl import Kubectl
from tests.cluster.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A sweep takes a second or two, and longer on a machine that is at its limit.
_SWEPT_SECONDS = 30
# What the runs of a test print, in their folder.
_OUTPUT = "output"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def runs() -> Iterator[Path]:
    """A folder with a short name: the kubelet's sockets lie below it, and their paths are limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="runs-", dir="/tmp") as folder:
        yield Path(folder)


_UP = ("tests.cluster", "up")
_TESTS = ("pytest", "tests/cluster/test_network_policies.py", "-q", "-p", "tests.cluster.plugin")


def start(runs: Path, module: tuple[str, ...] = _UP) -> subprocess.Popen[bytes]:
    """`make cluster` or a test run, without the building, with a folder of runs of its own."""
    environment = {**os.environ, "TEST_CLUSTER_RUNS": str(runs), "TEST_CLUSTER_FRESH": "1"}
    command = [sys.executable, "-m", *module]
    with (runs / _OUTPUT).open("ab") as output:
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, start_new_session=True, stdout=output, stderr=subprocess.STDOUT
        )


def identity_of(runs: Path) -> str:
    folders = [path.name for path in runs.glob("*") if path.is_dir()]
    assert len(folders) == 1
    return folders[0]


def wait_for(session: subprocess.Popen[bytes], runs: Path, file: str, seconds: float) -> None:
    """Until a run has this file; what the run printed is in the error when it ends before, or takes too long."""
    deadline = time.monotonic() + seconds
    while not list(runs.glob(f"*/{file}")):
        if session.poll() is not None or time.monotonic() > deadline:
            end = "too slow" if session.returncode is None else f"ended with {session.returncode}"
            pytest.fail(f"no {file}: {end}:\n{(runs / _OUTPUT).read_text(errors='replace')[-6000:]}")
        time.sleep(0.2)


def has_pods(identity: str) -> Callable[[], bool]:
    return lambda: any(path.name.startswith("pod") for root in cluster_cgroups(identity) for path in root.rglob("pod*"))


def has_namespace(runs: Path, identity: str, prefix: str) -> bool:
    kubectl = Kubectl(runs / identity / "host.kubeconfig")
    return f"namespace/{prefix}" in kubectl("get", "namespaces", "-o", "name")


def assert_nothing_left(runs: Path, identity: str) -> None:
    def is_clean() -> bool:
        return not find_leftovers(identity) and not list(runs.glob(f"{identity}/*"))

    started = time.monotonic()
    try:
        wait_until("nothing left", is_clean, seconds=_SWEPT_SECONDS)
    finally:
        say(f"left after {time.monotonic() - started:.1f} s: {find_leftovers(identity)}")


@pytest.mark.parametrize("victim", ["session", "keeper", "node"])
def test_a_kill_in_the_middle_of_the_boot_leaves_nothing(runs: Path, victim: str) -> None:
    """SIGKILL while pods are being made: of the session, of its keeper, of the node's first process."""
    session = start(runs)
    try:
        wait_for(session, runs, "node.pid", 30)
        identity = identity_of(runs)
        wait_until("first pods", has_pods(identity), seconds=90)
        os.kill(process_of(victim, session, runs), signal.SIGKILL)
        session.wait(timeout=_SWEPT_SECONDS)
        assert_nothing_left(runs, identity)
    finally:
        session.kill()
        session.wait()


def process_of(victim: str, session: subprocess.Popen[bytes], runs: Path) -> int:
    node = int(next(runs.glob("*/node.pid")).read_text())
    if victim == "session":
        return session.pid
    if victim == "node":
        return node
    children = Path(f"/proc/{session.pid}/task/{session.pid}/children").read_text().split()
    return int(children[0])


def test_after_a_kill_in_the_middle_of_tests_the_next_one_boots(runs: Path) -> None:
    """pytest is killed while it tests policies; nothing is left; the next cluster becomes ready and ends."""
    killed = start(runs, _TESTS)
    wait_for(killed, runs, "ready", 240)
    identity = identity_of(runs)
    wait_until("a test at work", lambda: has_namespace(runs, identity, "own-"), seconds=60)
    killed.kill()
    killed.wait()
    assert_nothing_left(runs, identity)
    following = start(runs)
    try:
        wait_for(following, runs, "ready", 240)
        identity = identity_of(runs)
        following.send_signal(signal.SIGTERM)
        assert following.wait(timeout=60) == 0
        assert_nothing_left(runs, identity)
    finally:
        following.kill()
        following.wait()


def test_the_check_sees_what_is_there(runs: Path) -> None:
    """The positive control: while a cluster boots, the same check finds its processes, namespaces and cgroups."""
    session = start(runs)
    try:
        wait_for(session, runs, "node.pid", 30)
        identity = identity_of(runs)
        wait_until("cgroups", lambda: bool(cluster_cgroups(identity)), seconds=30)
        seen = find_leftovers(identity)
        assert seen.processes
        assert len(seen.namespaces) >= 3
        assert seen.cgroups
        session.send_signal(signal.SIGTERM)
        session.wait(timeout=60)
        assert_nothing_left(runs, identity)
    finally:
        session.kill()
        session.wait()


def test_runs_of_this_checkout_are_told_from_those_of_tests() -> None:
    """The folder of runs is the checkout's own unless a test says otherwise."""
    assert os.environ.get("TEST_CLUSTER_RUNS") or LAYOUT.runs == LAYOUT.cache / "run"
