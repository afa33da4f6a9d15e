"""The base of all images that need a C library or Python: Debian, from this machine's own package sources."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.recipes.archives import ARCHIVE, write_archive
from tests.cluster.recipes.recipe import Recipe

BASE_TAG = "dev.local/python:3.11"


def make_base(folder: Path) -> None:
    """A Debian with Python, as the official Python images are: `python`, `pip`, `venv`, no bytecode. And curl."""
    root = folder / "root"
    packages = "ca-certificates,curl,python3,python3-pip,python3-venv,python-is-python3"
    mirror, suite = debian_mirror()
    run(["debootstrap", "--variant=minbase", f"--include={packages}", suite, root, mirror])
    for unneeded in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        run(["rm", "-rf", root / unneeded])
    for compiled in root.glob("usr/lib/python3*/**/*.pyc"):
        compiled.unlink()
    # pip may install into this image: nothing of Debian's runs in it.
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    run(["tar", "--numeric-owner", "-C", root, "-cf", folder / "base.tar", "."])
    run(["rm", "-rf", root])
    write_archive(folder / ARCHIVE, BASE_TAG, [folder / "base.tar"], ("/bin/sh",), "")


def debian_mirror() -> tuple[str, str]:
    """Where this machine itself takes its packages from: (address, suite)."""
    codename = run(["sh", "-c", '. /etc/os-release && printf %s "$VERSION_CODENAME"'])
    listed = run(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"])
    for line in listed.splitlines():
        site, release = line.split()
        if release == codename:
            return site, codename
    raise LookupError(f"this machine's package sources name no mirror for {codename}")


BASE = Recipe("image-base", make=make_base, files=(Path(__file__),))
