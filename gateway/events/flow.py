"""From an event to digests that lie with the object: once for each object, and never in circles.

A digest that is kept with an object may itself cause an event, a copy. Three things keep that from going round:
what is known is not computed again; a copy whose object carries our binding already, even one that fits no more
because the store gave the copy another ETag, is never written to; and an event that was worked off is remembered.

Only what cannot be needed again is remembered: an event with a sequencer, as this caller sent it, about the very
content that the store showed. An object that is not there yet, or shows the content of before, may be there at the next
delivery; content that is written again has no digests; and what one member sends says nothing of another's events.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.checksums.bulk import patiently
from gateway.checksums.flow import Answer, ChecksumFlow, Order
from gateway.checksums.known import Source
from gateway.edge.context import RequestContext
from gateway.errors import GatewayError, Kind
from gateway.events.memory import EventMemory
from gateway.events.records import Happening, ObjectEvent
from gateway.identity.caller import Caller
from gateway.objects.model import ObjectRef
from gateway.objects.stored import BINDING
from gateway.single_flight import SingleFlight
from tenancy.directory.protocol import Tenant

_OURS = frozenset([Source.COMPUTED, Source.REMEMBERED])


class Outcome(StrEnum):
    """What became of an event."""

    COMPUTED = "computed"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    GONE = "gone"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class EventCall:
    """One call with events: who sends them, and which digests of their objects are kept."""

    caller: Caller
    tenant: Tenant
    algorithms: tuple[str, ...]


class EventFlow:
    """Works off events."""

    def __init__(self, flow: ChecksumFlow, *, entries: int) -> None:
        self._flow = flow
        self._done = EventMemory(entries)
        self._flights: SingleFlight[object, Outcome] = SingleFlight()

    async def handle(self, call: EventCall, event: ObjectEvent, context: RequestContext) -> Outcome:
        """What became of the event; it counts as done only if nothing failed.

        Raises:
            GatewayError: see `ChecksumFlow.answer`; the event may be delivered again.
        """
        if event.happening is Happening.OTHER:
            return Outcome.IGNORED
        key = None if event.identity is None else _key(call, event.identity)

        async def work() -> Outcome:
            return await self._work(call, event, context, key)

        if key is None:
            return await work()
        if self._done.knows(call.caller.project_id, key):
            return Outcome.DUPLICATE
        joined = key in self._flights
        outcome = await self._flights.run(key, work)
        return Outcome.DUPLICATE if joined and outcome is not Outcome.GONE else outcome

    async def _work(self, call: EventCall, event: ObjectEvent, context: RequestContext, key: bytes | None) -> Outcome:
        async def answer(ref: ObjectRef, context: RequestContext, *, store: bool) -> Answer:
            order = Order(ref, call.algorithms, store=store, must_store=store)
            return await patiently(lambda: self._flow.answer(call.caller, call.tenant, order, context))

        copied = event.happening is Happening.COPIED
        for ref in event.refs:
            try:
                found = await answer(ref, context, store=not copied)
            except GatewayError as error:
                if error.kind is not Kind.OBJECT_NOT_FOUND:
                    raise
                continue
            sources = {digest.source for digest in found.digests.values()}
            # Remembered: an earlier delivery had it computed, and failed to have it kept.
            if copied and sources & _OURS and not _carries_binding(found.stat.metadata):
                await answer(ref, RequestContext(request_id=context.request_id), store=True)
            if key is not None and event.etag == found.stat.etag:
                self._done.add(call.caller.project_id, key)
            return Outcome.COMPUTED if Source.COMPUTED in sources else Outcome.KNOWN
        return Outcome.GONE


def _key(call: EventCall, identity: bytes) -> bytes:
    """Of one size, whatever the names are."""
    asked = json.dumps([call.caller.project_id, call.caller.user_id, *call.algorithms]).encode()
    return hashlib.sha256(asked + identity).digest()


def _carries_binding(metadata: Mapping[str, str]) -> bool:
    return any(name.endswith(f"meta-{BINDING}") for name in metadata)
