"""Ceph 18, of Debian's next release: the one of this machine's Debian sends no CloudEvents. Only one test wants it."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.recipes.base import debian_mirror
from tests.cluster.recipes.recipe import Recipe

_SUITE = "trixie"
_PACKAGES = Path(__file__).parents[3] / "localcloud" / "ceph-apt.txt"


def make_ceph(folder: Path) -> None:
    """A Debian with Ceph in `root`."""
    lines = _PACKAGES.read_text(encoding="utf-8").splitlines()
    packages = ",".join(line for line in lines if line and not line.startswith("#"))
    mirror, _ = debian_mirror()
    run(["debootstrap", "--variant=minbase", f"--include={packages}", _SUITE, folder / "root", mirror])
    for unneeded in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        run(["rm", "-rf", folder / "root" / unneeded])


CEPH = Recipe("ceph", make=make_ceph, files=(Path(__file__), _PACKAGES))
