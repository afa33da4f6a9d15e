"""Algorithms: their names, their names on the wire, and the encodings of their digests.

Values are lowercase hex of full width everywhere inside. On the wire, `Digest` (RFC 3230) writes adler32 and
crc32c in hex and all others in base64 (IANA "HTTP Digest Algorithm Values"); `Repr-Digest` (RFC 9530) writes
every one as a byte sequence.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from http_sfv.dictionary import Dictionary
from http_sfv.item import Item


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: ours, and the function's.
        size: bytes of a digest.
        wire_names: names that HTTP clients use, in lower case; the first is that of RFC 3230's registry.
        hex_in_digest: whether `Digest` writes it in hex.
    """

    name: str
    size: int
    wire_names: tuple[str, ...]
    hex_in_digest: bool = False


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("adler32", 4, ("adler32", "adler"), hex_in_digest=True),
        Algorithm("crc32", 4, ("crc32",)),
        Algorithm("crc32c", 4, ("crc32c",), hex_in_digest=True),
        Algorithm("crc64nvme", 8, ("crc64nvme",)),
        Algorithm("md5", 16, ("md5",)),
        Algorithm("sha1", 20, ("sha", "sha1", "sha-1")),
        Algorithm("sha256", 32, ("sha-256", "sha256")),
        Algorithm("sha512", 64, ("sha-512", "sha512")),
        Algorithm("blake3", 32, ("blake3",)),
        Algorithm("xxh3_64", 8, ("xxh3_64", "xxh3")),
    )
}
BY_WIRE_NAME: dict[str, Algorithm] = {
    wire_name: algorithm for algorithm in ALGORITHMS.values() for wire_name in (*algorithm.wire_names, algorithm.name)
}
_HEX = re.compile(r"[0-9a-f]+")


def is_digest(name: str, value: object) -> bool:
    """Whether `value` is a valid digest of the algorithm `name`, in lowercase hex."""
    return isinstance(value, str) and len(value) == 2 * ALGORITHMS[name].size and _HEX.fullmatch(value) is not None


def digest_value(algorithm: Algorithm, value: str) -> str:
    """A hex value in the encoding of the header `Digest`."""
    return value if algorithm.hex_in_digest else base64.b64encode(bytes.fromhex(value)).decode()


def digest_dictionary(digests: Mapping[str, str]) -> str:
    """Hex values by names on the wire, in the encoding of the header `Repr-Digest`."""
    dictionary = Dictionary()
    for wire_name, value in digests.items():
        dictionary[wire_name] = Item(bytes.fromhex(value))
    return str(dictionary)
