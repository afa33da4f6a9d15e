"""One order to a function about many small objects whose bytes the gateway has read.

The form is in `docs/reference/checksums-function.md`.

Digests of objects must never be exchanged. So a reply counts only if all of it fits: the name of this order, each
object's position, ETag and size, and the CRC-32 of its bytes, which the gateway computes itself.
"""

import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import msgspec
from msgspec import Struct

from gateway.compute.job import Job, Result
from gateway.compute.reply import failed, result_of, strong_etag
from gateway.errors import ErrorCode, GatewayError

MEDIA_TYPE = "application/vnd.osfaas.checksums-batch"
VERSION = 1
# A reply of so many objects fits into `reply.MAX_REPLY_BYTES`, whatever their ETags are.
MAX_OBJECTS = 32
MAX_CONTENT_BYTES = 1 << 18


class BatchRefusedError(Exception):
    """The function does not take this order as a batch; each of its objects is a job of its own."""


@dataclass(frozen=True, slots=True)
class LoadedJob(Generic[Result]):
    """A job whose object is in memory.

    Attributes:
        content: all bytes of the object, which the store has sent with the ETag and size of `job.stat`.
    """

    job: Job[Result]
    content: bytes = field(repr=False)


class _Entry(Struct, frozen=True):
    id: int
    etag: str | None
    size: int
    crc32: str
    digests: dict[str, str]


class _Reply(Struct, frozen=True):
    version: int
    batch: str
    results: list[_Entry]


@dataclass(frozen=True, slots=True)
class BatchOrder(Generic[Result]):
    """Jobs with the same contract, at most `MAX_OBJECTS` of at most `MAX_CONTENT_BYTES` together.

    Attributes:
        name: of this order; never used twice.
    """

    loaded: Sequence[LoadedJob[Result]]
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def body(self) -> bytes:
        """What is sent: a line of JSON, and the bytes of all objects."""
        objects = [{"etag": strong_etag(each.job.stat), "size": each.job.stat.size} for each in self.loaded]
        contract = self.loaded[0].job.contract
        head = {"version": VERSION, "batch": self.name, **contract.order(), "objects": objects}
        return b"".join([json.dumps(head).encode(), b"\n", *(each.content for each in self.loaded)])

    def results(self, reply: Mapping[str, Any]) -> list[Result]:
        """The results in a reply, one for each job.

        Raises:
            BatchRefusedError: the function does not know batches, or not this version.
            GatewayError: FUNCTION_FAILED, if a part of it does not fit, or it is another error; FUNCTION_BUSY.
        """
        function = self.loaded[0].job.contract.function
        if (error := reply.get("error")) is not None:
            code = error.get("code") if isinstance(error, dict) else None
            if code == "bad_request":
                raise BatchRefusedError
            if code == "too_busy":
                raise GatewayError(ErrorCode.FUNCTION_BUSY, function=function)
            raise failed(function, "it reported an error")
        try:
            parsed = msgspec.convert(reply, _Reply)
        except msgspec.ValidationError as invalid:
            raise failed(function, "its reply to a batch is malformed") from invalid
        if (parsed.version, parsed.batch, len(parsed.results)) != (VERSION, self.name, len(self.loaded)):
            raise failed(function, "its reply is about another batch")
        pairs = zip(self.loaded, parsed.results, strict=True)
        return [_result(each, entry, number) for number, (each, entry) in enumerate(pairs)]


def _result(loaded: LoadedJob[Result], entry: _Entry, number: int) -> Result:
    job = loaded.job
    if entry.id != number or entry.crc32 != f"{zlib.crc32(loaded.content):08x}":
        raise failed(job.contract.function, "a result is about the bytes of another object")
    document = {"etag": entry.etag, "size": entry.size, "digests": entry.digests}
    return result_of(job.contract, document, job.stat)
