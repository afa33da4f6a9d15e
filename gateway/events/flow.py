"""Flow of object events: computes and stores digests once per object, without event loops.

Storing a digest may itself cause an event (a copy). Three rules prevent loops: known digests are not computed again; a
copy that already carries our binding, even an outdated one because the store gave the copy another ETag, is never
written to; and processed events are remembered.

An event is remembered only if it cannot be needed again: it has a sequencer, comes from this caller, and is about the
content that the store has. An object that is missing or still has the old content may be there at the next delivery;
content that is written again has no digests; and one member must not suppress the events of another.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.calls.call import Call
from gateway.checksums.bulk import retry_when_limited
from gateway.checksums.known import Source
from gateway.checksums.service import Answer, ChecksumRequest, Checksums
from gateway.errors import ErrorCode, GatewayError
from gateway.event_memory import EventMemory
from gateway.events.records import Happening, ObjectEvent
from gateway.objects.model import ObjectRef
from gateway.objects.stored import BINDING
from gateway.single_flight import SingleFlight

_OURS = frozenset([Source.COMPUTED, Source.REMEMBERED])


class Outcome(StrEnum):
    """Outcome of an event."""

    COMPUTED = "computed"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    GONE = "gone"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class EventCall:
    """One call with events, and the algorithms of the digests that are stored with their objects: none, or some."""

    call: Call
    algorithms: tuple[str, ...]


class EventFlow:
    """Processes events."""

    def __init__(self, checksums: Checksums, *, entries: int) -> None:
        self._checksums = checksums
        self._done = EventMemory(entries)
        self._flights: SingleFlight[object, Outcome] = SingleFlight()

    async def handle(self, events: EventCall, event: ObjectEvent) -> Outcome:
        """Processes one event; it is remembered only if nothing failed.

        Raises:
            GatewayError: see `Checksums.answer`; the event may be delivered again.
        """
        if event.happening is Happening.OTHER or not events.algorithms:
            return Outcome.IGNORED
        key = None if event.identity is None else _key(events, event.identity)

        async def work() -> Outcome:
            return await self._work(events, event, key)

        if key is None:
            return await work()
        if self._done.knows(events.call.caller.project_id, key):
            return Outcome.DUPLICATE
        joined = key in self._flights
        outcome = await self._flights.run(key, work)
        return Outcome.DUPLICATE if joined and outcome is not Outcome.GONE else outcome

    async def _work(self, events: EventCall, event: ObjectEvent, key: bytes | None) -> Outcome:
        async def answer(ref: ObjectRef, call: Call, *, store: bool) -> Answer:
            request = ChecksumRequest(ref, events.algorithms, store=store, must_store=store)
            return await retry_when_limited(lambda: self._checksums.answer(call, request))

        copied = event.happening is Happening.COPIED
        for ref in event.refs:
            try:
                found = await answer(ref, events.call, store=not copied)
            except GatewayError as error:
                if error.kind is not ErrorCode.OBJECT_NOT_FOUND:
                    raise
                continue
            sources = {digest.source for digest in found.digests.values()}
            # Remembered: an earlier delivery computed it, but failed to store it.
            if copied and sources & _OURS and not _carries_binding(found.stat.metadata):
                await answer(ref, events.call.part(), store=True)
            if key is not None and event.etag == found.stat.etag:
                self._done.add(events.call.caller.project_id, key)
            return Outcome.COMPUTED if Source.COMPUTED in sources else Outcome.KNOWN
        return Outcome.GONE


def _key(events: EventCall, identity: bytes) -> bytes:
    """A key of fixed size, whatever the length of the names."""
    asked = json.dumps([events.call.caller.project_id, events.call.caller.user_id, *events.algorithms]).encode()
    return hashlib.sha256(asked + identity).digest()


def _carries_binding(metadata: Mapping[str, str]) -> bool:
    return any(name.endswith(f"meta-{BINDING}") for name in metadata)
