"""The node's view of the file system: private copies of what its programs would otherwise share with the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.commands import run
from tests.cluster.node.facts import DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, OPENSTACK_ADDRESS

if TYPE_CHECKING:
    from tests.cluster.layout import RunLayout

_CGROUPS = Path("/sys/fs/cgroup")


def cgroup_hierarchies(root: Path = _CGROUPS) -> list[Path]:
    """Every cgroup hierarchy of the machine: those of version 1 and the unified one."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def unified_hierarchy(root: Path = _CGROUPS) -> Path:
    """The version 2 hierarchy, alone or beside version 1."""
    return root if (root / "cgroup.controllers").exists() else root / "unified"


def make_mounts(layout: RunLayout, cgroup: str) -> None:
    """Everything is mounted in the node's own mount namespace and ends with it."""
    run(["mount", "-t", "proc", "proc", "/proc"])
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    Path("/run/cgroups").mkdir()
    # A new sysfs shows the interfaces of the node's network; the machine's cgroups are laid back over it.
    run(["mount", "--rbind", _CGROUPS, "/run/cgroups"])
    run(["mount", "-t", "sysfs", "sysfs", "/sys"])
    run(["mount", "--rbind", "/run/cgroups", _CGROUPS])
    run(["umount", "--lazy", "--recursive", "/run/cgroups"])
    run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
    run(["mount", "-t", "tmpfs", "tmpfs", "/var/log"])
    _make_cgroups(cgroup)
    for name, lines in _etc_files().items():
        file = layout.etc / name
        file.write_text(lines)
        run(["mount", "--bind", file, f"/etc/{name}"])
    run(["mount", "--make-rshared", "/"])


def _etc_files() -> dict[str, str]:
    return {
        "resolv.conf": f"nameserver {DNS_ADDRESS}\nsearch svc.cluster.local cluster.local\noptions ndots:3\n",
        "hosts": f"127.0.0.1 localhost\n{NODE_ADDRESS} {NODE_NAME}\n{OPENSTACK_ADDRESS} openstack\n",
    }


def _make_cgroups(cgroup: str) -> None:
    """The kubelet wants its root cgroup to exist in every hierarchy, with processors and memory to give away."""
    for hierarchy in cgroup_hierarchies():
        folder = hierarchy / cgroup
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / name).is_file():
                (folder / name).write_text((hierarchy / name).read_text())
