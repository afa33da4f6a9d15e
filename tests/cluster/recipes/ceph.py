"""Ceph 18, of Debian's next release: the one of this machine's Debian sends no CloudEvents. Only one test wants it."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.recipes.base import debian_mirror
from tests.cluster.recipes.recipe import Recipe

_SUITE = "trixie"
_PACKAGES = Path(__file__).parents[3] / "localcloud" / "ceph-apt.txt"


def make_ceph(folder: Path) -> None:
    """The files of a Debian with Ceph in `root`. Nothing is configured: its daemons need no user and no service."""
    lines = _PACKAGES.read_text(encoding="utf-8").splitlines()
    packages = ",".join(line for line in lines if line and not line.startswith("#"))
    mirror, _ = debian_mirror()
    downloads, root = folder / "downloads", folder / "root"
    run(["debootstrap", "--download-only", "--variant=minbase", f"--include={packages}", _SUITE, downloads, mirror])
    root.mkdir()
    # The first one has the links from /bin, /lib and /sbin to /usr.
    found = sorted(
        downloads.glob("var/cache/apt/archives/*.deb"), key=lambda file: not file.name.startswith("base-files")
    )
    for file in found:
        run(["dpkg-deb", "--extract", file, root])
    run(["rm", "-rf", downloads, *(root / "usr" / "share" / name for name in ("doc", "man", "locale"))])
    run(["chroot", root, "ldconfig"])


CEPH = Recipe("ceph", make=make_ceph, files=(Path(__file__), _PACKAGES))
