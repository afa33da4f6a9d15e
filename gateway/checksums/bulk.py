"""Many objects in one call: each is answered as soon as it is done, and fails for itself alone."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.checksums.flow import Order
from gateway.checksums.negotiation import ordered_algorithm
from gateway.errors import GatewayError, Kind
from gateway.objects.model import ObjectRef

Item = TypeVar("Item")
Result = TypeVar("Result")

# Whoever asks for many has the time to wait until there is room again.
WAITED_FOR = frozenset([Kind.TOO_MANY_AT_ONCE, Kind.RATE_EXCEEDED, Kind.BYTES_EXCEEDED, Kind.FUNCTION_BUSY])
LONGEST_WAIT_SECONDS = 120.0
_FIELDS = frozenset(["objects", "algorithms", "force", "store"])
_OBJECT_FIELDS = frozenset(["container", "object", "version_id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRules:
    """Bounds of one request about many objects, or events (see `Settings` for each)."""

    default_algorithms: tuple[str, ...]
    max_bytes: int
    max_objects: int
    at_once: int


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """What is asked of many objects.

    Attributes:
        objects: as they were sent; a name that is none fails when its turn comes.
    """

    objects: tuple[Mapping[str, Any], ...]
    algorithms: tuple[str, ...]
    force: bool
    store: bool

    def order_of(self, number: int) -> Order:
        """The order for one of the objects.

        Raises:
            GatewayError: REQUEST_MALFORMED.
        """
        return Order(_ref(self.objects[number]), self.algorithms, force=self.force, store=self.store)


def bulk_order_of(document: Any, *, default_algorithms: tuple[str, ...], max_objects: int) -> BulkOrder:
    """The order in a request's JSON.

    Raises:
        GatewayError: REQUEST_MALFORMED, ALGORITHM_UNKNOWN. What is wrong with a single object is its own failure.
    """
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise _malformed("the body has to be an object with a list 'objects'")
    if unknown := sorted(document.keys() - _FIELDS):
        raise _malformed(f"it has unknown fields: {', '.join(unknown)[:200]}")
    objects = document["objects"]
    if len(objects) > max_objects:
        raise _malformed(f"it names more than {max_objects} objects")
    names = document.get("algorithms", list(default_algorithms))
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _malformed("'algorithms' has to be a list of names")
    flags = {name: document.get(name, False) for name in ("force", "store")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise _malformed("'force' and 'store' have to be true or false")
    algorithms = tuple(dict.fromkeys(ordered_algorithm(name) for name in names))
    return BulkOrder(tuple(objects), algorithms, **flags)


def _ref(entry: Any) -> ObjectRef:
    if not isinstance(entry, dict) or entry.keys() - _OBJECT_FIELDS:
        raise _malformed("an object is named by 'container' and 'object', and maybe 'version_id'")
    container, name, version = (entry.get(field) for field in ("container", "object", "version_id"))
    if not isinstance(container, str) or not isinstance(name, str) or not isinstance(version, str | None):
        raise _malformed("an object's 'container', 'object' and 'version_id' are strings")
    return ObjectRef(container, name, version)


async def patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    """The answer; where there is no room now, after a while.

    Raises:
        GatewayError: what `ask` raises, at last also if there is no room.
    """
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        try:
            return await ask()
        except GatewayError as error:
            # Not all at the same moment: those who wait together would find no room together.
            wait = (error.retry_after_seconds or 1) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            if error.kind not in WAITED_FOR or time.monotonic() + wait > deadline:
                raise
        await asyncio.sleep(wait)


async def side_by_side(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int, silence_seconds: float
) -> AsyncIterator[Result | None]:
    """The results of all items in the order in which they are ready, and None after each silence.

    As many items are taken and results held as work at once: the consumer sets the pace. Leaving the iterator cancels
    what runs.
    """
    source = iter(items)
    ready: asyncio.Queue[Result] = asyncio.Queue(max(1, at_once))

    async def worker() -> None:
        for item in source:
            await ready.put(await work(item))

    workers = [asyncio.ensure_future(worker()) for _ in range(max(1, at_once))]
    try:
        while (running := [each for each in workers if not each.done()]) or not ready.empty():
            getting = asyncio.ensure_future(ready.get())
            done, _ = await asyncio.wait(
                (getting, *running), timeout=silence_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if getting in done:
                yield getting.result()
                continue
            getting.cancel()
            if not done:
                yield None
        for each in workers:
            each.result()
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _malformed(why: str) -> GatewayError:
    return GatewayError(Kind.REQUEST_MALFORMED, why=why)
