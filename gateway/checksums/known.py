"""Digests that need no computation."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from cachetools import LRUCache

from gateway.objects.model import ObjectStat, is_weak


class Source(StrEnum):
    """Where a digest came from."""

    NATIVE = "native"
    STORED = "stored"
    FOREIGN = "foreign"
    REMEMBERED = "remembered"
    COMPUTED = "computed"


class Digest(NamedTuple):
    """A digest in lowercase hex, and where it came from."""

    value: str
    source: Source


class KnownDigests:
    """What the store vouches for, what lies with the object, and what this process computed before.

    All three belong to the ETag and size of the stat, which the store has just given to this caller: memory
    is never asked before the store has let the caller see the object.
    """

    def __init__(self, entries: int, *, trust_foreign: bool = False) -> None:
        self._computed: LRUCache[bytes, dict[str, str]] = LRUCache(entries)
        self._trust_foreign = trust_foreign

    def of(self, stat: ObjectStat) -> dict[str, Digest]:
        """The known digests, by algorithm."""
        known: dict[str, Digest] = {}
        if self._trust_foreign:
            known |= {name: Digest(value, Source.FOREIGN) for name, value in stat.foreign.items()}
        known |= {name: Digest(value, Source.REMEMBERED) for name, value in self._computed.get(_key(stat), {}).items()}
        known |= {name: Digest(value, Source.STORED) for name, value in stat.stored.items()}
        known |= {name: Digest(value, Source.NATIVE) for name, value in stat.native.items()}
        return known

    def remember(self, stat: ObjectStat, digests: Mapping[str, str]) -> None:
        """Keeps computed digests, unless no memory was given, or nothing binds them to the content."""
        if not self._computed.maxsize or is_weak(stat.etag):
            return
        key = _key(stat)
        self._computed[key] = {**self._computed.get(key, {}), **digests}


def _key(stat: ObjectStat) -> bytes:
    """Of one size: callers choose the names, which may take up to 6 KB of memory each."""
    return hashlib.sha256(json.dumps(stat.identity).encode()).digest()
