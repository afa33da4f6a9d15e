"""Archives byte by byte, as no archiver writes them."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


def tar_entry(name: str | bytes, data: bytes = b"", *, kind: bytes = b"0", mode: int = 0o644, **fields: Any) -> bytes:
    """Header, content and padding; `fields` overwrite bytes: size=b"…", magic=b"…"."""
    raw = name if isinstance(name, bytes) else name.encode()
    size = fields.get("size", b"%011o\0" % len(data))
    header = bytearray(512)
    header[0:100] = raw[:100].ljust(100, b"\0")
    header[100:108] = fields.get("raw_mode", b"%07o\0" % mode)
    header[108:124] = b"0000000\0" * 2
    header[124:136] = size
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[157:257] = fields.get("link", b"").ljust(100, b"\0")
    header[257:265] = fields.get("magic", b"ustar\00000")
    header[345:500] = fields.get("prefix", b"").ljust(155, b"\0")
    header[148:156] = fields.get("checksum", b"%06o\0 " % sum(header))
    return bytes(header) + data + bytes(-len(data) % 512)


def tar(*entries: bytes, end: bytes = bytes(1024), after: bytes = b"") -> bytes:
    """A tar.gz of these entries."""
    return gzip.compress(b"".join(entries) + end, mtime=0) + after


def pax(**records: str) -> bytes:
    """An extended header."""
    lines = b""
    for key, value in records.items():
        body = f" {key}={value}\n".encode()
        length = len(body)
        while length != len(body) + len(str(length)):
            length = len(body) + len(str(length))
        lines += str(length).encode() + body
    return tar_entry("pax", lines, kind=b"x")


def usual_tar(files: dict[str, bytes]) -> bytes:
    """As Python's archiver writes it."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return output.getvalue()


def usual_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """As Python's archiver writes it."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return output.getvalue()


@dataclass
class ZipEntry:
    """One entry. `local` and `central` overwrite fields of one of the two headers."""

    name: bytes
    data: bytes = b""
    mode: int = 0o100644
    flags: int = 0
    method: int = 0
    system: int = 3
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    gap: bytes = b""

    def fields(self, other: dict[str, Any]) -> dict[str, Any]:
        packed = self.packed()
        known = {"name": self.name, "flags": self.flags, "method": self.method, "crc": zlib.crc32(self.data)}
        return {**known, "compressed": len(packed), "size": len(self.data), "extra": b"", **other}

    def packed(self) -> bytes:
        if self.method != 8:
            return self.data
        deflate = zlib.compressobj(wbits=-15)
        return deflate.compress(self.data) + deflate.flush()


def zipped(
    entries: Iterable[ZipEntry], *, before: bytes = b"", rest: bytes = b"", after: bytes = b"", **end: Any
) -> bytes:
    """A zip of these entries; `end` overwrites fields of its last record."""
    body, directory, count = bytearray(before), bytearray(), 0
    for entry in entries:
        offset, count = len(body), count + 1
        here = entry.fields(entry.local)
        body += struct.pack(
            "<4s2B4HL2L2H", b"PK\3\4", 20, 0, here["flags"], here["method"], 0, 0, here["crc"], here["compressed"],
            here["size"], len(here["name"]), len(here["extra"]),
        ) + here["name"] + here["extra"] + entry.packed() + entry.gap  # fmt: skip
        said = entry.fields(entry.central)
        directory += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, entry.system, 20, 0, said["flags"], said["method"], 0, 0, said["crc"],
            said["compressed"], said["size"], len(said["name"]), 0, 0, said.get("disk", 0), 0, entry.mode << 16,
            said.get("offset", offset),
        ) + said["name"]  # fmt: skip
    numbers = {
        "disk": 0,
        "first": 0,
        "here": count,
        "count": count,
        "length": len(directory) + len(rest),
        "offset": len(body),
    }
    record = {**numbers, "comment": b"", **end}
    return bytes(body + directory) + rest + struct.pack(
        "<4s4H2LH", b"PK\5\6", record["disk"], record["first"], record["here"], record["count"], record["length"],
        record["offset"], len(record["comment"]),
    ) + record["comment"] + after  # fmt: skip
