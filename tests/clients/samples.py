"""Objects that clients are asked about, and what is true of them by programs that are not ours."""

import hashlib
import random
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """An object, a file with the same content, and digests of it in hex."""

    name: str
    data: bytes
    file: Path
    digests: Mapping[str, str]


def contents() -> dict[str, bytes]:
    """Content by the object's name; `large` is put as a static large object."""
    return {
        "one": b"x",
        "five.root": random.Random(5).randbytes(5 * MIB),
        "run 7/ünï cödé 日本.root": random.Random(7).randbytes(100_003),
        "large": random.Random(9).randbytes(2 * MIB + 1),
        "zeros": leading_zeros(),
    }


def leading_zeros() -> bytes:
    """Content whose adler32 starts with two zeros, as one in 256 does."""
    found = next(data for data in map(_seeded, range(10_000)) if zlib.adler32(data) < 1 << 24)
    assert f"{zlib.adler32(found):08x}".startswith("00")
    return found


def _seeded(seed: int) -> bytes:
    return random.Random(seed).randbytes(1_000)


def sample_of(name: str, data: bytes, folder: Path) -> Sample:
    """The sample, its digests by the standard library and, for CRC-32C, by XRootD's program."""
    file = folder / name.replace("/", "-")
    file.write_bytes(data)
    crc32c = subprocess.run(["xrdcrc32c", file], capture_output=True, text=True, check=True).stdout.split()[0]
    digests = {
        "adler32": f"{zlib.adler32(data):08x}",
        "crc32": f"{zlib.crc32(data):08x}",
        "crc32c": crc32c.zfill(8),
        **{algorithm: hashlib.new(algorithm, data).hexdigest() for algorithm in ("md5", "sha1", "sha256")},
    }
    return Sample(name, data, file, digests)
