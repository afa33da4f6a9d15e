"""The Debian packages that the cluster needs: installed when missing, untouched when present."""

from __future__ import annotations

from tests.cluster.commands import run
from tests.cluster.layout import PACKAGE
from tests.cluster.progress import step


def wanted_packages() -> list[str]:
    """The names in apt.txt."""
    lines = (PACKAGE / "apt.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def missing_packages() -> list[str]:
    """Those of them that dpkg does not know as installed."""
    listed = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"])
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted_packages() if name not in installed]


def install_packages() -> None:
    """One install command; none at all when nothing is missing."""
    missing = missing_packages()
    if not missing:
        return
    with step(f"Debian packages: {' '.join(missing)}"):
        run(["apt-get", "update", "-q"])
        run(
            ["apt-get", "install", "--yes", "--no-install-recommends", *missing],
            environment={"DEBIAN_FRONTEND": "noninteractive"},
        )
