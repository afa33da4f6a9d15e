"""HTTP route of object events: digests are stored with each object, and the triggers that match it fire.

A successful answer has no body: Knative's broker takes a body that is not an event for a failed delivery. If events
fail, the answer is one of their errors, temporary ones (with Retry-After) first, so that the sender delivers again;
processed events are not processed twice.
"""

import asyncio
import contextlib
from collections import Counter

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import calls_of, map_concurrently, retry_when_limited
from gateway.checksums.list_slots import ListSlot, ListSlots, declared_length
from gateway.checksums.negotiation import names_json, parse_algorithms
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.events.flow import EventCall, EventFlow, Outcome
from gateway.events.records import Happening, ObjectEvent, read_events
from gateway.http.body import read_body
from gateway.http.context import RequestContext, context_of
from gateway.http.disconnect import unless_gone
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.http.query import parse_query
from gateway.http.respond import answer_or_error
from gateway.policy.names import Rule
from gateway.settings.limits import ChecksumSettings
from gateway.telemetry.outcome import CALLER_GONE
from gateway.triggers.events import EventTriggers, FiredTriggers

_DONE = 204
PARAMETERS = ("algorithm", "checksums")
_BOOLEANS = {"true": True, "false": False}


class EventRoutes:
    """The endpoint of object events."""

    def __init__(
        self,
        admission: Admission,
        events: EventFlow,
        triggers: EventTriggers,
        *,
        settings: ChecksumSettings,
        slots: ListSlots,
        metrics: Metrics,
    ) -> None:
        self._admission = admission
        self._events = events
        self._triggers = triggers
        self._settings = settings
        self._slots = slots
        self._metrics = metrics

    async def receive(self, request: Request) -> Response:
        """`POST /v1/events`."""
        context = context_of(request.scope)
        context.route = "events"
        response = await answer_or_error(context, self._receive(request, context))
        record_service_call(context, None, response.status_code)
        return response

    async def _receive(self, request: Request, context: RequestContext) -> Response:
        head = context.head
        assert head is not None
        call = await self._admission.admit(context, Rule.EVENTS_SEND, services=True)
        events = EventCall(call, self._algorithms(head))
        fired = FiredTriggers()
        with self._slots.slot(call.caller, declared_length(request.headers)) as slot:
            outcomes = await self._outcomes(request, slot, events, fired)
        if names_json(head.joined(b"accept")):
            triggers = fired.document() if fired.answers else {}
            return JSONResponse({"outcomes": outcomes, **triggers}, headers=UNCACHEABLE)
        return Response(status_code=_DONE, headers=UNCACHEABLE)

    async def _outcomes(self, request: Request, slot: ListSlot, call: EventCall, fired: FiredTriggers) -> Counter[str]:
        body = await read_body(request, max_bytes=self._settings.bulk_body_max_bytes)
        slot.shrink(len(body))
        paid = calls_of(len(body))
        events = await unless_gone(request.receive, self._read(dict(request.headers), body, call, paid))
        del body
        return await unless_gone(request.receive, self._all(call, events, fired, paid))

    async def _read(self, headers: dict[str, str], body: bytes, call: EventCall, paid: int) -> list[ObjectEvent]:
        await retry_when_limited(lambda: self._admission.count(call.call, paid - 1))
        async with self._slots.parsing:
            return await read_events(headers, body, most=self._settings.bulk_max_objects)

    async def _all(self, whole: EventCall, events: list[ObjectEvent], fired: FiredTriggers, paid: int) -> Counter[str]:
        """The number of events by outcome. The first `paid` events are already counted with the call itself."""

        async def one(number: int) -> Outcome | GatewayError:
            event = events[number]
            ref = event.refs[0] if event.refs else None
            # Each event has its own sources, which are in its audit record.
            call = whole.call.part()
            context = call.context
            try:
                if number >= paid:
                    await retry_when_limited(lambda: self._admission.count(call))
                failure = await self._fire(call, event, fired, number)
                outcome = await self._events.handle(EventCall(call, whole.algorithms), event)
                if failure is not None:
                    # Digests and triggers that succeeded are known when the event comes again.
                    raise failure
            except GatewayError as error:
                record_service_call(context, ref, error.kind.status)
                return error
            except asyncio.CancelledError:
                record_service_call(context, ref, CALLER_GONE)
                raise
            record_service_call(context, ref, _DONE)
            return outcome

        outcomes: Counter[str] = Counter()
        failures: list[GatewayError] = []
        concurrency = min(self._settings.bulk_concurrency, len(events))
        results = map_concurrently(range(len(events)), one, concurrency=concurrency, silence_seconds=60)
        async with contextlib.aclosing(results):
            async for batch in results:
                for result in batch:
                    if isinstance(result, GatewayError):
                        failures.append(result)
                    else:
                        outcomes[result] += 1
                        self._metrics.events.labels(result).inc()
        self._metrics.events.labels("failed").inc(len(failures))
        whole.call.context.log.events = {**outcomes, **({"failed": len(failures)} if failures else {})}
        if failures:
            raise next((each for each in failures if each.retry_after_seconds is not None), failures[0])
        return outcomes

    async def _fire(self, call: Call, event: ObjectEvent, fired: FiredTriggers, number: int) -> GatewayError | None:
        if event.happening is Happening.OTHER:
            return None
        copied = event.happening is Happening.COPIED
        return await self._triggers.fire(call, event.refs, fired, record=number, copied=copied)

    def _algorithms(self, head: RequestHead) -> tuple[str, ...]:
        """Of the digests to store; none, if the sender wants no digests."""
        parameters = parse_query(head.query, PARAMETERS)
        names = tuple(parse_algorithms(parameters.get("algorithm", [])))
        wanted = parameters.get("checksums", ["true"])
        if len(wanted) != 1 or wanted[0] not in _BOOLEANS or (names and not _BOOLEANS[wanted[0]]):
            raise GatewayError(
                ErrorCode.REQUEST_MALFORMED,
                why="the parameter 'checksums' must be true or false, once, and 'algorithm' needs checksums",
            )
        return (names or self._settings.default_algorithms) if _BOOLEANS[wanted[0]] else ()
