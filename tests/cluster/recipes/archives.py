"""Docker-archives, as `docker save` writes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ARCHIVE = "image.tar"


def write_archive(target: Path, tag: str, layers: list[Path], entrypoint: tuple[str, ...], user: str) -> None:
    """Writes what `docker save` would: layers, their digests and one configuration."""
    digests = [_sha256(layer) for layer in layers]
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(entrypoint),
            "User": user,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    described = json.dumps(configuration).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    listed = [{"Config": name, "RepoTags": [tag], "Layers": [f"{digest}.tar" for digest in digests]}]
    with tarfile.open(target, "w") as archive:
        for digest, layer in zip(digests, layers, strict=True):
            archive.add(layer, f"{digest}.tar")
        for file, content in ((name, described), ("manifest.json", json.dumps(listed).encode())):
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
