"""The keeper of one cluster: starts the node in its namespaces, and ends it when the session's pipe ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.layout import LAYOUT, RunLayout
from tests.cluster.leftovers import sweep
from tests.cluster.session import cgroup_of

# unshare kills the node when it dies; setpriv makes the kernel kill unshare when the keeper dies. tini is the first
# process of the node's pid namespace and collects what containers leave.
_NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")


def main() -> int:
    """Takes one JSON word: identity, and the file descriptors of the pipe, the door and the lock."""
    told = json.loads(sys.argv[1])
    layout = RunLayout(LAYOUT.runs / told["identity"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe and SIGKILL end a keeper
    node = _start_node(layout, told)
    try:
        pid = _first_process(node.pid)
        unfinished = layout.folder / "node.pid.unfinished"
        unfinished.write_text(str(pid))
        unfinished.rename(layout.folder / "node.pid")
        _wait(told["pipe"], node)
    finally:
        node.kill()
        node.wait()
        os.environ.pop("TEST_CLUSTER_ID", None)
        sweep(told["identity"])
    return 0


def _start_node(layout: RunLayout, told: dict[str, int | str]) -> subprocess.Popen[bytes]:
    identity = str(told["identity"])
    door = int(told["door"])
    spec = {"folder": str(layout.folder), "cgroup": cgroup_of(identity), "door": door}
    boot = ("tini", "-s", "--", sys.executable, "-m", "tests.cluster.node.boot", json.dumps(spec))
    node = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *_NAMESPACES, "--", *boot],
        pass_fds=(door,),
        stdin=subprocess.DEVNULL,
    )
    os.close(door)
    return node


def _first_process(unshare: int) -> int:
    """The only child of unshare, once it is there."""
    children = Path(f"/proc/{unshare}/task/{unshare}/children")
    while True:
        listed = children.read_text().split()
        if listed:
            return int(listed[0])
        time.sleep(0.01)


def _wait(pipe: int, node: subprocess.Popen[bytes]) -> None:
    """Until the session is gone or the node is."""
    node_end = os.pidfd_open(node.pid)
    select.select([pipe, node_end], [], [])


if __name__ == "__main__":
    sys.exit(main())
