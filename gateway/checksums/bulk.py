"""Bulk requests: many objects in one call; each is answered when it is done, and fails individually."""

import asyncio
import math
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.checksums.negotiation import parse_algorithm
from gateway.checksums.service import ChecksumRequest
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import MAX_OBJECT_BYTES, ObjectRef
from gateway.slices import in_slices
from gateway.typed_json import decode

Item = TypeVar("Item")
Result = TypeVar("Result")

# Errors after which a bulk request waits and retries.
RETRIED_ERRORS = frozenset(
    [ErrorCode.CONCURRENCY_EXCEEDED, ErrorCode.RATE_EXCEEDED, ErrorCode.BYTES_EXCEEDED, ErrorCode.FUNCTION_BUSY]
)
MAX_WAIT_SECONDS = 120.0
# A list with more invalid names is rejected as a whole.
MAX_INVALID_ENTRIES = 100
# Parsing this many bytes of a list costs as much as a call for one object.
BYTES_PER_CALL = 65_536
# The end of a field's name: a quote within a string has a backslash.
_FIELD = re.compile(rb'(?<!\\)"[ \t\r\n]*+:')


class _Entry(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    container: str
    object: str
    version_id: str | UnsetType | None = UNSET


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    objects: Annotated[list[_Entry], Meta(min_length=1)]
    algorithms: Annotated[list[str], Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    force: bool | UnsetType = UNSET
    store: bool | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(_Document)


@dataclass(frozen=True, slots=True)
class InvalidEntry:
    """An entry with invalid names.

    Attributes:
        names: container, object and version as they were sent; None for a name that is too long to be repeated.
        failure: the error.
    """

    names: tuple[str | None, str | None, str | None]
    failure: GatewayError


@dataclass(frozen=True, slots=True)
class BulkChecksumRequest:
    """A parsed bulk request.

    Attributes:
        objects: in the order in which they were sent.
    """

    objects: tuple[ObjectRef | InvalidEntry, ...]
    algorithms: tuple[str, ...]
    force: bool
    store: bool

    def request_for(self, number: int) -> ChecksumRequest:
        """The request for one of the objects.

        Raises:
            GatewayError: REQUEST_MALFORMED.
        """
        entry = self.objects[number]
        if isinstance(entry, InvalidEntry):
            raise entry.failure
        return ChecksumRequest(entry, self.algorithms, force=self.force, store=self.store)


async def parse_bulk_request(
    body: bytes, *, default_algorithms: tuple[str, ...], max_objects: int
) -> BulkChecksumRequest:
    """Parses the JSON of a bulk request.

    Raises:
        GatewayError: REQUEST_MALFORMED, ALGORITHM_UNKNOWN. An invalid name fails only its entry, unless
            there are many.
    """
    document = decode(_DECODER, body, fields_at=_fields_at)
    if len(document.objects) > max_objects:
        raise _malformed(f"it names more than {max_objects} objects")
    names = document.algorithms or default_algorithms
    algorithms = tuple(dict.fromkeys(parse_algorithm(name) for name in names))
    objects: list[ObjectRef | InvalidEntry] = []
    invalid_entries = 0
    async for entry in in_slices(document.objects):
        objects.append(named := _named(entry))
        invalid_entries += isinstance(named, InvalidEntry)
        if invalid_entries > MAX_INVALID_ENTRIES:
            place = f"$.objects[{len(objects) - 1}]"
            raise _malformed(f"more than {MAX_INVALID_ENTRIES} entries are invalid, the last of them at '{place}'")
    if await _fields_sent(body) != _fields_read(document):
        raise _malformed("a field occurs twice")
    return BulkChecksumRequest(tuple(objects), algorithms, document.force is True, document.store is True)


async def _fields_sent(body: bytes) -> int:
    """Number of fields in a valid body, duplicates included.

    The parser uses the last duplicate; a proxy that inspected the body may have used the first.
    """
    return sum([1 async for _ in in_slices(_FIELD.finditer(body))])


def _fields_read(document: _Document) -> int:
    """Number of parsed fields, without duplicates."""
    own = sum(value is not UNSET for value in (document.objects, document.algorithms, document.force, document.store))
    return own + sum(2 + (entry.version_id is not UNSET) for entry in document.objects)


def _fields_at(path: str) -> tuple[str, ...]:
    return (_Document if path == "$" else _Entry).__struct_fields__


def _named(entry: _Entry) -> ObjectRef | InvalidEntry:
    version = None if entry.version_id is UNSET else entry.version_id
    try:
        return ObjectRef(entry.container, entry.object, version)
    except GatewayError as error:
        names = (entry.container, entry.object, version)
        container, name, version = (None if each is None or len(each) > MAX_OBJECT_BYTES else each for each in names)
        return InvalidEntry((container, name, version), error)


def calls_of(length: int) -> int:
    """Number of calls that a list counts as by the length of its body; they cover its first entries."""
    return max(1, math.ceil(length / BYTES_PER_CALL))


async def retry_when_limited(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Calls `ask`, and retries while a limit is exceeded or the function is at capacity.

    Raises:
        GatewayError: other errors of `ask`, and after `MAX_WAIT_SECONDS` the exceeded limit.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            return await ask()
        except GatewayError as error:
            # Jitter: requests that wait together must not retry together.
            wait = (error.retry_after_seconds or 1) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            if error.kind not in RETRIED_ERRORS or time.monotonic() + wait > deadline:
                raise
        await asyncio.sleep(wait)


async def map_concurrently(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, concurrency: int, silence_seconds: float
) -> AsyncGenerator[list[Result], None]:
    """Yields batches of results in order of completion; an empty batch after each silence.

    At most `concurrency` items are in progress and as many results are buffered, so the consumer applies back pressure.
    Closing the iterator cancels running work.
    """
    source = iter(items)
    ready: asyncio.Queue[Result] = asyncio.Queue(max(1, concurrency))
    news = asyncio.Event()

    async def worker() -> None:
        for item in source:
            await ready.put(await work(item))
            news.set()

    workers = [asyncio.ensure_future(worker()) for _ in range(max(1, concurrency))]
    for each in workers:
        each.add_done_callback(lambda _: news.set())
    try:
        while True:
            news.clear()
            if batch := [ready.get_nowait() for _ in range(ready.qsize())]:
                yield batch
            elif all(each.done() for each in workers):
                break
            elif not await _within(silence_seconds, news.wait()):
                yield []
        for each in workers:
            each.result()
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _within(seconds: float, event: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return False
    return True


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
