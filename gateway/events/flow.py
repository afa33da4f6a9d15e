"""From an event to digests that lie with the object: once for each object, and never in circles.

A digest that is kept with an object may itself cause an event, a copy. Three things keep that from going round:
what is known is not computed again; a copy whose object carries our binding already, even one that fits no more
because the store gave the copy another ETag, is never written to; and an event that was worked off is remembered.
"""

from collections.abc import Mapping
from enum import StrEnum

from cachetools import LRUCache

from gateway.checksums.bulk import patiently
from gateway.checksums.flow import Answer, ChecksumFlow, Order
from gateway.checksums.known import Source
from gateway.edge.context import RequestContext
from gateway.errors import GatewayError, Kind
from gateway.events.records import Happening, ObjectEvent
from gateway.identity.caller import Caller
from gateway.objects.model import ObjectRef
from gateway.objects.stored import BINDING
from gateway.single_flight import SingleFlight
from tenancy.directory import Tenant

_OURS = frozenset([Source.COMPUTED, Source.REMEMBERED])


class Outcome(StrEnum):
    """What became of an event."""

    COMPUTED = "computed"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    GONE = "gone"
    IGNORED = "ignored"


class EventFlow:
    """Works off events."""

    def __init__(self, flow: ChecksumFlow, *, entries: int) -> None:
        self._flow = flow
        self._done: LRUCache[object, bool] = LRUCache(entries)
        self._flights: SingleFlight[object, Outcome] = SingleFlight()

    async def handle(
        self, caller: Caller, tenant: Tenant, event: ObjectEvent, algorithms: tuple[str, ...], request_id: str
    ) -> Outcome:
        """What became of the event; it counts as done only if nothing failed.

        Raises:
            GatewayError: see `ChecksumFlow.answer`; the event may be delivered again.
        """
        if event.happening is Happening.OTHER:
            return Outcome.IGNORED

        async def work() -> Outcome:
            return await self._work(caller, tenant, event, algorithms, request_id)

        if event.identity is None:
            return await work()
        key = (caller.project_id, algorithms, event.identity)
        if key in self._done:
            return Outcome.DUPLICATE
        joined = key in self._flights
        outcome = await self._flights.run(key, work)
        if self._done.maxsize:
            self._done[key] = True
        return Outcome.DUPLICATE if joined else outcome

    async def _work(
        self, caller: Caller, tenant: Tenant, event: ObjectEvent, algorithms: tuple[str, ...], request_id: str
    ) -> Outcome:
        context = RequestContext(request_id=request_id)

        async def answer(ref: ObjectRef, *, store: bool) -> Answer:
            order = Order(ref, algorithms, store=store, must_store=store)
            return await patiently(lambda: self._flow.answer(caller, tenant, order, context))

        copied = event.happening is Happening.COPIED
        for ref in event.refs:
            try:
                found = await answer(ref, store=not copied)
            except GatewayError as error:
                if error.kind is not Kind.OBJECT_NOT_FOUND:
                    raise
                continue
            sources = {digest.source for digest in found.digests.values()}
            # Remembered: an earlier delivery had it computed, and failed to have it kept.
            if copied and sources & _OURS and not _carries_binding(found.stat.metadata):
                await answer(ref, store=True)
            return Outcome.COMPUTED if Source.COMPUTED in sources else Outcome.KNOWN
        return Outcome.GONE


def _carries_binding(metadata: Mapping[str, str]) -> bool:
    return any(name.endswith(f"meta-{BINDING}") for name in metadata)
