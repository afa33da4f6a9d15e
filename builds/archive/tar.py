"""Reads tar.gz strictly: files and folders, POSIX and GNU long names, and nothing else.

pax headers may rename a file and give its size; all else in them is read over, within their limit.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builds.archive.inflate import CHUNK, GZIP, Inflater
from builds.archive.limits import Budget
from builds.archive.member import Member, is_executable
from builds.archive.names import check_mode, clean_name, shown
from builds.errors import ArchiveError

_BLOCK = 512
_FILE_TYPES = {b"0", b"\0", b"7"}
_FOLDER = b"5"
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}
_OCTAL = re.compile(rb" *([0-7]*)[\0 ]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ")
_TRUNCATED = "The archive is truncated. Upload it again."
_TRAILING = "The archive has data after its end. Make it again."


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    mode: int
    size: int
    kind: bytes


class _Stream:
    """The bytes inside gzip, in order, counted."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._pieces = _pieces(file, budget)
        self._ready = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, at least one; raises ArchiveError at the end."""
        if not self._ready:
            self._ready = next(self._pieces, b"")
            if not self._ready:
                raise ArchiveError(_TRUNCATED)
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def exactly(self, size: int) -> bytes:
        """As many bytes; for sizes within a limit only."""
        parts = []
        while size:
            parts.append(self.read(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def finish(self) -> None:
        """Reads what follows the end of the tar; raises ArchiveError unless it is zeros."""
        while self._ready:
            if self._ready.strip(b"\0"):
                raise ArchiveError(_TRAILING)
            self._ready = next(self._pieces, b"")


def _pieces(file: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """The content of the one gzip member that a file is."""
    inflater = Inflater(GZIP)
    while not inflater.ended:
        data = file.read(CHUNK)
        if not data:
            raise ArchiveError(_TRUNCATED)
        for piece in inflater.feed(data):
            budget.add_bytes(len(piece))
            yield piece
    if inflater.has_more or file.read(1):
        raise ArchiveError(_TRAILING)


def read_tar(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Yields the members of a tar.gz; each one's content must be taken or left before the next.

    Raises:
        ArchiveError: the archive has what is refused, costs more than the budget, or is damaged.
    """
    stream = _Stream(file, budget)
    renamed: bytes | None = None
    resized: int | None = None
    while (block := stream.exactly(_BLOCK)).strip(b"\0"):
        budget.add_entry()
        header = _parse(block)
        if header.kind in b"xgL":
            data = _extended(stream, header, budget)
            if header.kind == b"L":
                renamed = data.rstrip(b"\0")
            elif header.kind == b"x":
                fields = _pax(data)
                renamed, resized = fields.get(b"path", renamed), _pax_size(fields)
            continue
        raw, size = renamed or header.name, header.size if resized is None else resized
        renamed = resized = None
        name = clean_name(raw, budget.limits)
        if header.kind in _REFUSED or header.kind not in {*_FILE_TYPES, _FOLDER}:
            what = _REFUSED.get(header.kind, f"of an unknown type ({shown(header.kind)})")
            raise ArchiveError(f"{shown(name)} is {what}. An archive may have files and folders only.")
        check_mode(name, header.mode)
        folder = header.kind == _FOLDER or raw.endswith(b"/")
        if folder and size:
            raise ArchiveError(f"The folder {shown(name)} has content. Make the archive again.")
        content = _Content(stream, size)
        yield Member(name, folder, is_executable(header.mode), content.chunks)
        content.skip()
    # What an archiver appends to fill its last block.
    stream.finish()


class _Content:
    """The content of one file and its padding."""

    def __init__(self, stream: _Stream, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK

    def chunks(self) -> Iterator[bytes]:
        while self._left:
            data = self._stream.read(self._left)
            self._left -= len(data)
            yield data

    def skip(self) -> None:
        for _ in self.chunks():
            pass
        self._stream.exactly(self._padding)


def _parse(block: bytes) -> _Header:
    """A header of POSIX, GNU or old tar; all have the same fields up to the link's name."""
    plain = block[:148] + b" " * 8 + block[156:]
    if sum(plain) != _number(block[148:156]):
        raise ArchiveError("The archive is no tar, or damaged: the checksum of a header is wrong.")
    name = block[:100].rstrip(b"\0").split(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0")[0]):
        name = prefix + b"/" + name
    return _Header(name, _number(block[100:108]), _number(block[124:136]), block[156:157])


def _number(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if match is None:
        # GNU's form for numbers from 8 GiB on begins with a byte above 127.
        raise ArchiveError("A header of the archive has a number that is not octal. Make it again with common options.")
    return int(match[1] or b"0", 8)


def _extended(stream: _Stream, header: _Header, budget: Budget) -> bytes:
    if header.size > budget.limits.header_bytes:
        raise ArchiveError(f"The archive has an extended header of more than {budget.limits.header_bytes:,} bytes.")
    data = stream.exactly(header.size)
    stream.exactly(-header.size % _BLOCK)
    return data


def _pax(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: length, blank, key, `=`, value, newline. The last of a key counts."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        match = _PAX_RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise ArchiveError("The archive has a damaged pax header. Make it again.")
        key, _, value = data[match.end() : end - 1].partition(b"=")
        if key.startswith((b"GNU.sparse", b"SCHILY.realsize")):
            raise ArchiveError("The archive has a sparse file. Make it again without --sparse.")
        fields[key] = value
        at = end
    return fields


def _pax_size(fields: dict[bytes, bytes]) -> int | None:
    size = fields.get(b"size")
    if size is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,15}", size):
        raise ArchiveError("The archive has a pax header with an impossible size. Make it again.")
    return int(size)
