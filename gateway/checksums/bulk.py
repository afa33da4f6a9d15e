"""Many objects in one call: each is answered as soon as it is done, and fails for itself alone."""

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

# Whoever asks for many has the time to wait until there is room again.
RETRIED_ERRORS = frozenset(
    [ErrorCode.TOO_MANY_AT_ONCE, ErrorCode.RATE_EXCEEDED, ErrorCode.BYTES_EXCEEDED, ErrorCode.FUNCTION_BUSY]
)
MAX_WAIT_SECONDS = 120.0
# A list with more names that are none is a mistake as a whole.
MAX_INVALID_ENTRIES = 100
# Reading so much of a list costs as much as a call about one object.
BYTES_PER_CALL = 65_536
# The end of the name of a field: a quote within a string has a backslash.
_FIELD = re.compile(rb'(?<!\\)"[ \t\r\n]*+:')


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRules:
    """Bounds of one request about many objects, or events (see `Settings` for each)."""

    default_algorithms: tuple[str, ...]
    max_bytes: int
    max_objects: int
    concurrency: int


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
    """An entry whose names are none.

    Attributes:
        names: container, object and version as they were sent; None for what is too long to be repeated.
        failure: what is wrong with them.
    """

    names: tuple[str | None, str | None, str | None]
    failure: GatewayError


@dataclass(frozen=True, slots=True)
class BulkChecksumRequest:
    """What is asked of many objects.

    Attributes:
        objects: in the order in which they were sent.
    """

    objects: tuple[ObjectRef | InvalidEntry, ...]
    algorithms: tuple[str, ...]
    force: bool
    store: bool

    def request_for(self, number: int) -> ChecksumRequest:
        """The order for one of the objects.

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
    """The order in a request's JSON.

    Raises:
        GatewayError: REQUEST_MALFORMED, ALGORITHM_UNKNOWN. A name that is none is its entry's own failure, unless
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
            raise _malformed(f"more than {MAX_INVALID_ENTRIES} entries name no object, the last of them at '{place}'")
    if await _fields_sent(body) != _fields_read(document):
        raise _malformed("a field is there twice")
    return BulkChecksumRequest(tuple(objects), algorithms, document.force is True, document.store is True)


async def _fields_sent(body: bytes) -> int:
    """How many fields the objects of a good body have, doubled ones included.

    The parser takes the last of them, and whoever looked at the body on the way may have taken the first.
    """
    return sum([1 async for _ in in_slices(_FIELD.finditer(body))])


def _fields_read(document: _Document) -> int:
    """How many fields there are, each counted once."""
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
    """As how many calls a list counts by the length of its body; they are the first of those that its entries are."""
    return max(1, math.ceil(length / BYTES_PER_CALL))


async def retry_when_limited(ask: Callable[[], Awaitable[Result]]) -> Result:
    """The answer; where there is no room now, after a while.

    Raises:
        GatewayError: what `ask` raises, at last also if there is no room.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            return await ask()
        except GatewayError as error:
            # Not all at the same moment: those who wait together would find no room together.
            wait = (error.retry_after_seconds or 1) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            if error.kind not in RETRIED_ERRORS or time.monotonic() + wait > deadline:
                raise
        await asyncio.sleep(wait)


async def map_concurrently(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, concurrency: int, silence_seconds: float
) -> AsyncGenerator[list[Result], None]:
    """The results of all items in the order in which they are ready, as many as there are; none after each silence.

    As many items are taken and results held as work at once: the consumer sets the pace. Leaving the iterator cancels
    what runs.
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
