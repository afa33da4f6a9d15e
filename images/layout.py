"""Reads the OCI layout of an image: its digest, and the packages that are in its layers."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

from builds.dependencies import Package

_INSTALLED = re.compile(r"(?:^|/)(?P<name>[^/-]+)-(?P<version>[^/-]+)\.dist-info/METADATA$")
_REMOVED = re.compile(r"(?:^|/)\.wh\.(?P<name>[^/]+)$")


def digest_of(layout: Path) -> str:
    """The digest of the only image in a layout."""
    (manifest,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return str(manifest["digest"])


def blob(layout: Path, digest: str) -> Path:
    """The file of a blob."""
    return layout / "blobs" / digest.replace(":", "/")


def document(layout: Path, digest: str) -> dict[str, Any]:
    """A manifest or a configuration."""
    found: dict[str, Any] = json.loads(blob(layout, digest).read_bytes())
    return found


def packages_in(layout: Path) -> list[Package]:
    """Python packages that the image has, sorted by name. A later layer may have removed one of an earlier one."""
    found: dict[str, Package] = {}
    for layer in document(layout, digest_of(layout))["layers"]:
        with tarfile.open(blob(layout, layer["digest"])) as archive:
            names = archive.getnames()
        for path in list(found):
            if any(_hides(name, path) for name in names):
                del found[path]
        for name in names:
            if match := _INSTALLED.search(name):
                found[name] = Package(match["name"], match["version"], "")
    return sorted(set(found.values()), key=lambda each: (each.name.lower(), each.version))


def _hides(name: str, path: str) -> bool:
    """Whether a name of a layer is a whiteout of a path or of a folder above it."""
    match = _REMOVED.search(name)
    if not match:
        return False
    folder = name[: match.start("name") - len(".wh.")]
    hidden = folder if match["name"] == ".wh..opq" else f"{folder}{match['name']}"
    return path == hidden or path.startswith(f"{hidden.rstrip('/')}/")
