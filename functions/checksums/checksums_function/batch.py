"""Many small objects in the body of one call: parsed strictly, digested side by side.

The body is one line of JSON, which lists the objects, and behind it their bytes in the same order, without gaps.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from .algorithms import ALGORITHMS, select_algorithms
from .errors import ChecksumsError, Code
from .orders import checked_etag, checked_size
from .spans import on_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .algorithms import Algorithm
    from .pipeline import Stop

MEDIA_TYPE = "application/vnd.osfaas.checksums-batch"
VERSION = 1
MOST_OBJECTS = 256
MOST_HEAD_BYTES = 64 << 10
MOST_CONTENT_BYTES = 1 << 20
MOST_BODY_BYTES = MOST_HEAD_BYTES + MOST_CONTENT_BYTES
# For fewer bytes of slow digests, starting a thread takes longer than it saves.
LEAST_SHARE_BYTES = 256 << 10
_BATCH = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class BatchObject:
    """One object of a batch. `number` is its position; `etag` is only repeated in the answer."""

    number: int
    etag: str | None
    content: memoryview


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Objects whose bytes are in the body. `batch` is the caller's name for this call, repeated in the answer."""

    batch: str
    algorithms: tuple[Algorithm, ...]
    objects: tuple[BatchObject, ...]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(len(each.content) for each in self.objects)


def parse_batch_order(body: bytes) -> BatchOrder:
    """Parses the body of a call about many objects.

    Raises:
        ChecksumsError: bad_request, unknown_algorithm; short_read if the bytes are more or fewer than announced.
    """
    head, newline, _ = body[: MOST_HEAD_BYTES + 1].partition(b"\n")
    if not newline:
        raise ChecksumsError(Code.BAD_REQUEST, f"The first line must end within {MOST_HEAD_BYTES} bytes.")
    try:
        document = json.loads(head)
    except (ValueError, RecursionError):
        raise ChecksumsError(Code.BAD_REQUEST, "The first line is not JSON.") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ChecksumsError(Code.BAD_REQUEST, f"The first line must be an object with the version {VERSION}.")
    batch, names, objects = document.get("batch"), document.get("algorithms"), document.get("objects")
    if not isinstance(batch, str) or not _BATCH.fullmatch(batch):
        raise ChecksumsError(Code.BAD_REQUEST, "batch must be a name of up to 64 letters and digits.")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ChecksumsError(Code.BAD_REQUEST, "algorithms must be a list of names.")
    if not isinstance(objects, list) or not 0 < len(objects) <= MOST_OBJECTS:
        raise ChecksumsError(Code.BAD_REQUEST, f"objects must be a list of 1 to {MOST_OBJECTS} objects.")
    entries = [_entry(each) for each in objects]
    content = memoryview(body)[len(head) + 1 :]
    ends = list(accumulate((size for _, size in entries), initial=0))
    if ends[-1] != len(content):
        raise ChecksumsError(Code.SHORT_READ, f"The objects have {len(content)} instead of {ends[-1]} bytes.")
    return BatchOrder(
        batch,
        select_algorithms(names),
        tuple(
            BatchObject(number, etag, content[start:end])
            for number, ((etag, _), (start, end)) in enumerate(zip(entries, pairwise(ends), strict=True))
        ),
    )


def _entry(entry: object) -> tuple[str | None, int]:
    """ETag and size of an entry."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    etag, size = fields.get("etag"), fields.get("size")
    if type(size) is not int or (etag is not None and not isinstance(etag, str)):
        raise ChecksumsError(Code.BAD_REQUEST, "Each object must have a size in bytes, and an etag or null.")
    return checked_etag(etag), checked_size(size)


def digest_batch(order: BatchOrder, stop: Stop) -> dict[str, object]:
    """The answer: the digests of each object, and a CRC-32 by which the caller knows the bytes that were digested.

    Raises:
        Stopped: the caller has disconnected.
    """
    shares = shares_of(order, at_once=len(os.sched_getaffinity(0)))

    def digest(share: Sequence[BatchObject], stop_all: Stop) -> list[dict[str, object]]:
        return [_result(order.algorithms, each, stop_all) for each in share]

    results = [each for share in on_threads(digest, shares, stop) for each in share]
    return {"version": VERSION, "batch": order.batch, "results": results}


def shares_of(order: BatchOrder, *, at_once: int) -> list[tuple[BatchObject, ...]]:
    """The objects in their order, in at most `at_once` shares of about the same number of bytes."""
    heavy = order.size * sum(algorithm.heavy for algorithm in order.algorithms)
    count = max(1, min(at_once, heavy // LEAST_SHARE_BYTES))
    shares: list[list[BatchObject]] = [[]]
    target, filled = order.size / count, 0
    for each in order.objects:
        if shares[-1] and len(shares) < count and filled >= target * len(shares):
            shares.append([])
        shares[-1].append(each)
        filled += len(each.content)
    return [tuple(share) for share in shares]


def _result(algorithms: Sequence[Algorithm], each: BatchObject, stop: Stop) -> dict[str, object]:
    stop.check()
    return {
        "id": each.number,
        "etag": each.etag,
        "size": len(each.content),
        "crc32": _digest(ALGORITHMS["crc32"], each.content),
        "digests": {algorithm.name: _digest(algorithm, each.content) for algorithm in algorithms},
    }


def _digest(algorithm: Algorithm, content: memoryview) -> str:
    hasher = algorithm.new()
    hasher.update(content)
    return hasher.hexdigest()
