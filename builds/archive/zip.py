"""Reads zip strictly: directory and headers must agree, and the data is in order, without overlap or gap."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builds.archive.inflate import CHUNK, DEFLATE, Inflater
from builds.archive.limits import Budget
from builds.archive.member import Member, is_executable
from builds.archive.names import check_mode, clean_name, shown
from builds.errors import ArchiveError

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _STREAMED, _PATCHED, _STRONG, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x2000
_UNIX = 3
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF
# Of a file whose size was not known in advance: signature, CRC and two sizes follow it.
_DESCRIPTOR_BYTES = {0, 12, 16}
_UNKNOWN = "The zip is damaged or has other data in it. Make it again, as one part, without a comment."


@dataclass(frozen=True, slots=True)
class _Entry:
    raw: bytes
    mode: int
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int


def read_zip(file: BinaryIO, size: int, budget: Budget) -> Iterator[Member]:
    """Yields the members of a zip in the order of their data.

    Args:
        file: seekable, at any place.
        size: of the file in bytes.
        budget: what the archive may cost.

    Raises:
        ArchiveError: the archive has what is refused, costs more than the budget, or is damaged.
    """
    entries, directory = _directory(file, size, budget)
    entries.sort(key=lambda entry: entry.offset)
    expected = 0
    for number, entry in enumerate(entries):
        name = _checked(entry, budget)
        start = _data_offset(file, entry, expected)
        end = start + entry.compressed
        following = entries[number + 1].offset if number + 1 < len(entries) else directory
        # Overlapping entries are the zip bomb without recursion; gaps hide other entries from other readers.
        if following - end not in (_DESCRIPTOR_BYTES if entry.flags & _STREAMED else {0}):
            raise ArchiveError(f"The data of {shown(name)} overlaps other data, or is followed by some. {_UNKNOWN}")
        expected = following
        folder = entry.raw.endswith(b"/")
        if folder and entry.size:
            raise ArchiveError(f"The folder {shown(name)} has content. Make the archive again.")
        yield Member(name, folder, is_executable(entry.mode), lambda at=start, of=entry: _content(file, at, of, budget))  # type: ignore[misc]


def _directory(file: BinaryIO, size: int, budget: Budget) -> tuple[list[_Entry], int]:
    """The entries of the central directory, and where it begins. Its size is known to be small before it is read."""
    if size < _END.size:
        raise ArchiveError(_UNKNOWN)
    file.seek(size - _END.size)
    signature, disk, first_disk, here, count, length, offset, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or comment or disk or first_disk or here != count:
        raise ArchiveError(_UNKNOWN)
    if count == _MOST_16 or _MOST_32 in {length, offset}:
        raise ArchiveError("The zip has the format for more than 65,534 entries or 4 GiB. Leave out what is not code.")
    if offset + length + _END.size != size:
        raise ArchiveError(_UNKNOWN)
    if count > budget.limits.entries or length > count * (_CENTRAL.size + 2 * budget.limits.name_bytes):
        raise ArchiveError(f"The archive has more than {budget.limits.entries:,} entries, or very long headers.")
    file.seek(offset)
    data = file.read(length)
    entries, at = [], 0
    while at < len(data):
        entry, at = _central(data, at)
        entries.append(entry)
    if len(entries) != count:
        raise ArchiveError(_UNKNOWN)
    return entries, offset


def _central(data: bytes, at: int) -> tuple[_Entry, int]:
    fields = data[at : at + _CENTRAL.size]
    if len(fields) < _CENTRAL.size:
        raise ArchiveError(_UNKNOWN)
    (
        signature,
        _,
        system,
        _,
        _,
        flags,
        method,
        _,
        _,
        crc,
        compressed,
        size,
        name,
        extra,
        comment,
        disk,
        _,
        outer,
        offset,
    ) = _CENTRAL.unpack(fields)
    end = at + _CENTRAL.size + name + extra + comment
    if signature != b"PK\1\2" or disk or end > len(data):
        raise ArchiveError(_UNKNOWN)
    raw = data[at + _CENTRAL.size : at + _CENTRAL.size + name]
    mode = outer >> 16 if system == _UNIX else 0
    return _Entry(raw, mode, flags, method, crc, compressed, size, offset), end


def _checked(entry: _Entry, budget: Budget) -> str:
    budget.add_entry()
    name = clean_name(entry.raw, budget.limits)
    check_mode(name, entry.mode)
    if entry.flags & (_ENCRYPTED | _PATCHED | _STRONG | _MASKED):
        raise ArchiveError(f"{shown(name)} is encrypted. Make the archive again without a password.")
    if entry.method not in {_STORED, _DEFLATED}:
        raise ArchiveError(f"{shown(name)} has compression method {entry.method}. Use deflate, as common tools do.")
    return name


def _data_offset(file: BinaryIO, entry: _Entry, expected: int) -> int:
    """Where an entry's data begins, after a look at the header in front of it."""
    if entry.offset != expected:
        raise ArchiveError(_UNKNOWN)
    file.seek(entry.offset)
    fields = file.read(_LOCAL.size)
    if len(fields) < _LOCAL.size:
        raise ArchiveError(_UNKNOWN)
    signature, _, _, flags, method, _, _, crc, compressed, size, name, extra = _LOCAL.unpack(fields)
    start: int = entry.offset + _LOCAL.size + name + extra
    if signature != b"PK\3\4":
        raise ArchiveError(_UNKNOWN)
    told = (flags, method, file.read(name))
    known = (crc, compressed, size)
    right = (entry.crc, entry.compressed, entry.size)
    if told != (entry.flags, entry.method, entry.raw) or (known != right and not flags & _STREAMED):
        raise ArchiveError(f"The zip says two different things about {shown(entry.raw)}. Make it again.")
    return start


def _content(file: BinaryIO, at: int, entry: _Entry, budget: Budget) -> Iterator[bytes]:
    crc = size = 0
    for data in _unpacked(file, at, entry):
        size += len(data)
        budget.add_bytes(len(data))
        if size > entry.size:
            break
        crc = zlib.crc32(data, crc)
        yield data
    if (size, crc) != (entry.size, entry.crc):
        raise ArchiveError(f"The content of {shown(entry.raw)} is not what the zip says about it. Upload it again.")


def _unpacked(file: BinaryIO, at: int, entry: _Entry) -> Iterator[bytes]:
    """The content in pieces."""
    inflater = Inflater(DEFLATE) if entry.method == _DEFLATED else None
    left = entry.compressed
    while left:
        file.seek(at)
        data = file.read(min(left, CHUNK))
        at, left = at + len(data), left - len(data)
        if inflater is None:
            yield data
        else:
            yield from inflater.feed(data)
    if inflater is not None and (not inflater.ended or inflater.has_more):
        raise ArchiveError(f"{shown(entry.raw)} is damaged. Upload the archive again.")
