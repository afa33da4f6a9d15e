"""Unpacks an archive of a function's folder into an empty folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builds.archive.limits import ArchiveLimits, Budget
from builds.archive.member import Member
from builds.archive.names import NameSet
from builds.archive.tar import read_tar
from builds.archive.zip import read_zip
from builds.errors import ArchiveError

_ZIP = (b"PK\3\4", b"PK\5\6")
_GZIP = b"\x1f\x8b"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive had.

    Attributes:
        files: their names, sorted.
        size: of all of them in bytes.
    """

    files: tuple[str, ...]
    size: int


def unpack(archive: Path, destination: Path, limits: ArchiveLimits) -> Unpacked:
    """Writes the files of a zip or tar.gz below a folder.

    Args:
        archive: the archive; its name does not matter.
        destination: an empty folder. If the archive is refused, what was written stays in it.
        limits: what it may cost.

    Raises:
        ArchiveError: the archive is refused; the message says why and what to do.
    """
    names, files, size = NameSet(limits), [], 0
    with archive.open("rb") as file:
        for member in _members(file, limits):
            if not member.name:
                continue
            names.add(member.name, folder=member.folder)
            target = destination / member.name
            if member.folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            size += _write(target, member)
            files.append(member.name)
    return _unpacked(files, size)


def inspect(archive: Path, limits: ArchiveLimits) -> Unpacked:
    """Checks an archive as `unpack` does, and writes nothing.

    Raises:
        ArchiveError: the archive is refused; the message says why and what to do.
    """
    names, files, size = NameSet(limits), [], 0
    with archive.open("rb") as file:
        for member in _members(file, limits):
            if not member.name:
                continue
            names.add(member.name, folder=member.folder)
            if not member.folder:
                size += sum(map(len, member.chunks()))
                files.append(member.name)
    return _unpacked(files, size)


def _unpacked(files: list[str], size: int) -> Unpacked:
    if not files:
        raise ArchiveError("The archive has no files.")
    return Unpacked(tuple(sorted(files)), size)


def _members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[Member]:
    size = os.fstat(file.fileno()).st_size
    if size > limits.archive_bytes:
        raise ArchiveError(
            f"The archive has {size:,} bytes, more than {limits.archive_bytes:,}. Keep data in object storage."
        )
    magic = file.read(4)
    file.seek(0)
    if magic in _ZIP:
        return read_zip(file, size, Budget(limits))
    if magic.startswith(_GZIP):
        return read_tar(file, Budget(limits))
    raise ArchiveError("The archive is neither a zip nor a tar.gz.")


def _write(target: Path, member: Member) -> int:
    size = 0
    descriptor = os.open(target, _NEW, 0o755 if member.executable else 0o644)
    with os.fdopen(descriptor, "wb") as output:
        for chunk in member.chunks():
            output.write(chunk)
            size += len(chunk)
    return size
