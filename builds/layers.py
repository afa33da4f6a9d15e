"""Layers of an image, byte for byte the same for the same files."""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LEVEL = 6
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """Something in a registry.

    Attributes:
        digest: `sha256:` and hex, of the bytes that are stored.
        size: of them.
        path: where they are on this machine.
    """

    digest: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: what is stored, and the digest of the tar inside it."""

    blob: Blob
    diff_id: str


class _Hashing:
    """A file that is written to, and the digest of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self.size

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"


def write_layer(source: Path, prefix: str, path: Path) -> Layer:
    """Writes a layer with the files below a folder.

    Files belong to root, cannot be changed by the function, and have no time. Order, numbers and compression are fixed.
    Anything but files and folders is left out.

    Args:
        source: the folder.
        prefix: where its content is in the image, without a slash at either end.
        path: the layer's file; it is created.
    """
    with path.open("xb") as file:
        outer = _Hashing(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=outer, mtime=0) as compressed:
            inner = _Hashing(compressed)  # type: ignore[arg-type]
            with tarfile.open(fileobj=inner, mode="w", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
                for name, entry in _entries(source, prefix):
                    _add(archive, name, entry)
    return Layer(Blob(outer.digest, outer.size, path), inner.digest)


def _entries(source: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Name in the image and path, in the order of the names' bytes, folders before what is in them."""
    found = [(prefix, source)]
    for root, folders, files in os.walk(source):
        for name in (*folders, *files):
            path = Path(root, name)
            found.append((f"{prefix}/{path.relative_to(source).as_posix()}", path))
    yield from sorted(found, key=lambda each: os.fsencode(each[0]).replace(b"/", b"\0"))


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return
    if path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(info)
        return
    status = path.stat()
    info.size, info.mode = status.st_size, 0o755 if status.st_mode & 0o111 else 0o644
    with path.open("rb") as file:
        archive.addfile(info, file)


def blob_of(data: bytes, path: Path) -> Blob:
    """Writes data to a file and returns it as a blob."""
    path.write_bytes(data)
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), path)
