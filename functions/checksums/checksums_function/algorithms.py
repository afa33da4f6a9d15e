"""The names of the digests and the libraries that compute them.

Every library is imported only when its digest is requested, because a cold start waits for imports; `preload` imports
them in the background once the port is open. All of them release the interpreter lock while they process a buffer.
Every result is lowercase hexadecimal of full width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from .errors import ChecksumsError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Rolling = Callable[[memoryview, int], int]


class Hasher(Protocol):
    """A running digest with hashlib's interface."""

    def update(self, data: memoryview, /) -> object:
        """Adds the next bytes of the object."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""


class RunningSum:
    """Adapts a checksum function of (data, previous value) to the interface of a hasher."""

    __slots__ = ("_function", "_hex_digits", "_value")

    def __init__(self, function: Rolling, *, start: int = 0, bits: int = 32) -> None:
        self._function = function
        self._value = start
        self._hex_digits = bits // 4

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{self._hex_digits}x}"


def _adler32() -> Hasher:
    from zlib_ng import zlib_ng

    return RunningSum(zlib_ng.adler32, start=1)  # RFC 1950: Adler-32 starts at 1


def _crc32() -> Hasher:
    from zlib_ng import zlib_ng

    return RunningSum(zlib_ng.crc32)


def _crc32c() -> Hasher:
    from awscrt import checksums

    return RunningSum(cast("Rolling", checksums.crc32c))


def _crc64nvme() -> Hasher:
    from awscrt import checksums

    return RunningSum(cast("Rolling", checksums.crc64nvme), bits=64)


def _blake3() -> Hasher:
    from blake3 import blake3

    return blake3()


def _xxh3_64() -> Hasher:
    from xxhash import xxh3_64

    return xxh3_64()  # seed 0, as Ceph RGW stores it


_ADLER_MODULUS = 65_521  # RFC 1950: the largest prime below 2**16


def _join_adler32(first: int, second: int, length: int) -> int:
    """Adler-32 of two consecutive parts, the second of `length` bytes; exact by RFC 1950's definition."""
    low = (first & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + length * low
    return high % _ADLER_MODULUS << 16 | (low + (second & 0xFFFF)) % _ADLER_MODULUS


def _join_crc32(first: int, second: int, length: int) -> int:
    from awscrt import checksums

    value: int = checksums.combine_crc32(first, second, length)
    return value


def _join_crc32c(first: int, second: int, length: int) -> int:
    from awscrt import checksums

    value: int = checksums.combine_crc32c(first, second, length)
    return value


def _join_crc64nvme(first: int, second: int, length: int) -> int:
    from awscrt import checksums

    value: int = checksums.combine_crc64nvme(first, second, length)
    return value


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A digest.

    Attributes:
        heavy: it takes longer than reading the bytes, and gets a separate thread.
        join: combines the values of two consecutive parts, given the length of the second; None if that is impossible.
    """

    name: str
    heavy: bool
    new: Callable[[], Hasher]
    join: Callable[[int, int, int], int] | None = None


def combined(algorithm: Algorithm, parts: Sequence[tuple[str, int]]) -> str:
    """The exact digest of an object from the digests and lengths of its consecutive parts."""
    assert algorithm.join is not None
    (digest, _), *rest = parts
    value = int(digest, 16)
    for other, length in rest:
        value = algorithm.join(value, int(other, 16), length)
    return f"{value:0{len(digest)}x}"


# usedforsecurity=False: a host in FIPS mode must still be able to compare MD5 values.
_ALL = (
    Algorithm("adler32", heavy=False, new=_adler32, join=_join_adler32),
    Algorithm("crc32", heavy=False, new=_crc32, join=_join_crc32),
    Algorithm("crc32c", heavy=False, new=_crc32c, join=_join_crc32c),
    Algorithm("crc64nvme", heavy=False, new=_crc64nvme, join=_join_crc64nvme),
    Algorithm("md5", heavy=True, new=lambda: hashlib.md5(usedforsecurity=False)),
    Algorithm("sha1", heavy=True, new=lambda: hashlib.sha1(usedforsecurity=False)),
    Algorithm("sha256", heavy=True, new=lambda: hashlib.sha256(usedforsecurity=False)),
    Algorithm("sha512", heavy=True, new=lambda: hashlib.sha512(usedforsecurity=False)),
    Algorithm("blake3", heavy=True, new=_blake3),
    Algorithm("xxh3_64", heavy=False, new=_xxh3_64),
)
ALGORITHMS: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}


def select_algorithms(names: Iterable[str]) -> tuple[Algorithm, ...]:
    """The algorithms with these names, each once, in the requested order.

    Raises:
        ChecksumsError: bad_request if there is no name, unknown_algorithm if one is not in the list. Names are compared
            exactly: the gateway resolves aliases.
    """
    selected: dict[str, Algorithm] = {}
    for name in names:
        if name not in ALGORITHMS:
            raise ChecksumsError(
                Code.UNKNOWN_ALGORITHM, f"Unknown algorithm {name[:40]!r}; known: {', '.join(ALGORITHMS)}."
            )
        selected[name] = ALGORITHMS[name]
    if not selected:
        raise ChecksumsError(Code.BAD_REQUEST, f"Name at least one algorithm of {', '.join(ALGORITHMS)}.")
    return tuple(selected.values())


def preload() -> None:
    """Imports every library, so that the first call does not wait for it."""
    for algorithm in _ALL:
        algorithm.new()
