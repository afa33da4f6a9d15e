"""What is in an image: its own programs say it, from inside."""

import json
from dataclasses import dataclass

# Runs in the image, whose Python has its standard library and perhaps nothing else.
SCRIPT = r"""
import importlib.metadata, json, os, pathlib, platform, shutil, subprocess
found = {}
for folder in pathlib.Path("/").iterdir():
    for path in () if folder.name in {"proc", "sys", "dev"} else folder.rglob("*.dist-info"):
        metadata = importlib.metadata.PathDistribution(path).metadata
        found[metadata["Name"], metadata["Version"]] = metadata.get("License-Expression") or ""
debian = []
if shutil.which("dpkg-query"):
    form = "${Package}\t${Version}\t${Architecture}\n"
    listed = subprocess.run(["dpkg-query", "--show", "--showformat", form], check=True, capture_output=True, text=True)
    debian = [line.split("\t") for line in listed.stdout.splitlines()]
system = platform.freedesktop_os_release()
print(json.dumps({
    "system": [system["ID"], system.get("VERSION_ID", "")],
    "python": platform.python_version(),
    "distributions": sorted([*key, license] for key, license in found.items()),
    "debian": sorted(debian),
}))
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed Python distribution; its license as an SPDX expression, "" if it names none."""

    name: str
    version: str
    license: str


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """An installed package of Debian or of a system made from it."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an image has.

    Attributes:
        system: ID of its /etc/os-release, such as `debian`, and its version.
        python: version of its interpreter.
        debian: empty where the system has no dpkg.
    """

    system: tuple[str, str]
    python: str
    distributions: tuple[Distribution, ...]
    debian: tuple[DebianPackage, ...]


def contents_of(printed: str) -> Contents:
    """Reads what SCRIPT printed."""
    said = json.loads(printed)
    identity, version = said["system"]
    return Contents(
        system=(identity, version),
        python=said["python"],
        distributions=tuple(Distribution(*each) for each in said["distributions"]),
        debian=tuple(DebianPackage(*each) for each in said["debian"]),
    )
