"""Known digests: from the store, the object's metadata, or this process's cache."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from cachetools import LRUCache

from gateway.objects.model import ObjectStat, is_weak


class Source(StrEnum):
    """Source of a digest."""

    NATIVE = "native"
    STORED = "stored"
    FOREIGN = "foreign"
    REMEMBERED = "remembered"
    COMPUTED = "computed"


class Digest(NamedTuple):
    """A digest in lowercase hex, with its source."""

    value: str
    source: Source


class KnownDigests:
    """Native digests of the store, stored digests of the object, and a cache of computed ones.

    All three are bound to the ETag and size of the stat, which the store has just returned to this caller: the cache
    is never read before the store has authorised the caller.
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
        """Caches computed digests, unless the cache is off, or the ETag is weak."""
        if not self._computed.maxsize or is_weak(stat.etag):
            return
        key = _key(stat)
        self._computed[key] = {**self._computed.get(key, {}), **digests}


def _key(stat: ObjectStat) -> bytes:
    """A key of fixed size: callers choose the names, which may take up to 6 KB of memory each."""
    return hashlib.sha256(json.dumps(stat.identity).encode()).digest()
