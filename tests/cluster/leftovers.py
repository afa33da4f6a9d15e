"""What an ended cluster may have left on the machine: found, and removed where removing is ours to do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import LAYOUT
from tests.cluster.node.facts import CGROUP_PREFIX, NODE_INTERFACE, OPENSTACK_INTERFACE
from tests.cluster.node.mounts import cgroup_hierarchies

IDENTITY_VARIABLE = "TEST_CLUSTER_ID"
_NAMESPACES = ("mnt", "net", "pid")


@dataclass(frozen=True)
class Leftovers:
    """Empty on a machine where no cluster runs."""

    processes: tuple[str, ...]
    namespaces: tuple[str, ...]
    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]
    interfaces: tuple[str, ...]
    folders: tuple[str, ...]

    def __bool__(self) -> bool:
        return any((self.processes, self.namespaces, self.mounts, self.cgroups, self.interfaces, self.folders))

    def __str__(self) -> str:
        parts = {name: values for name, values in vars(self).items() if values}
        return json.dumps(parts, indent=2) if parts else "nothing"


def find_leftovers(identity: str = "") -> Leftovers:
    """What is there of one cluster, or of any. Seen from outside the cluster's namespaces."""
    members = _members(identity)
    return Leftovers(
        processes=tuple(f"{pid} {_command(pid)}" for pid in members),
        namespaces=tuple(sorted(_foreign_namespaces(members))),
        mounts=tuple(line for line in _mounts() if str(LAYOUT.runs / identity) in line),
        cgroups=tuple(str(path) for path in cluster_cgroups(identity)),
        interfaces=tuple(_interfaces()),
        folders=tuple(str(path) for path in run_folders(identity)),
    )


def cluster_cgroups(identity: str = "") -> list[Path]:
    """The root cgroups of clusters, one in each hierarchy."""
    pattern = f"{CGROUP_PREFIX}{identity}" if identity else f"{CGROUP_PREFIX}*"
    return [path for hierarchy in cgroup_hierarchies() for path in hierarchy.glob(pattern) if path.is_dir()]


def run_folders(identity: str = "") -> list[Path]:
    """The folders of runs."""
    return [path for path in LAYOUT.runs.glob(identity or "*") if path.is_dir()] if LAYOUT.runs.is_dir() else []


def sweep(identity: str) -> None:
    """Ends what is left of one cluster and removes its cgroups and folder. Its namespaces end with its processes."""
    deadline = time.monotonic() + 20
    while (members := _members(identity)) and time.monotonic() < deadline:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    for root in cluster_cgroups(identity):
        _remove_cgroup(root, deadline)
    for folder in run_folders(identity):
        if (folder / "logs").is_dir():
            shutil.rmtree(LAYOUT.last_logs, ignore_errors=True)
            shutil.copytree(folder / "logs", LAYOUT.last_logs)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_cgroup(root: Path, deadline: float) -> None:
    """From the leaves up; a cgroup that is still emptying is asked again."""
    for path in sorted([root, *(path for path in root.rglob("*") if path.is_dir())], reverse=True):
        while True:
            try:
                path.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            else:
                break


def _members(identity: str) -> list[int]:
    """Processes that belong to a cluster: by the word in their environment, by their cgroup, or by their namespaces."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != str(os.getpid())]
    word = f"{IDENTITY_VARIABLE}={identity}".encode()
    cgroup = f"/{CGROUP_PREFIX}{identity}"
    known = [pid for pid in pids if word in _read(pid, "environ") or cgroup in _read(pid, "cgroup").decode()]
    inside = {_namespace(pid, "pid") for pid in known} - {_namespace(os.getpid(), "pid"), ""}
    return sorted({*known, *(pid for pid in pids if _namespace(pid, "pid") in inside)})


def _foreign_namespaces(members: list[int]) -> set[str]:
    own = {_namespace(os.getpid(), kind) for kind in _NAMESPACES}
    return {_namespace(pid, kind) for pid in members for kind in _NAMESPACES} - own - {""}


def _namespace(pid: int, kind: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")[:120]


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _interfaces() -> list[str]:
    prefixes = (NODE_INTERFACE, OPENSTACK_INTERFACE, "cilium_", "lxc")
    return [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(prefixes)]
