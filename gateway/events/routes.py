"""The HTTP face of events.

An answer without an error has no body: to Knative's broker, a body that is not an event is a failed delivery. An event
that failed is answered with its error, one that may pass (503, with Retry-After) before others, so that the sender
delivers again; what was done by then is not done twice.
"""

from collections import Counter

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import BulkRules, patiently, side_by_side
from gateway.checksums.flow import ChecksumFlow
from gateway.checksums.negotiation import names_json, ordered_algorithms
from gateway.checksums.routes import parse_query
from gateway.edge.answer import answer_or_error
from gateway.edge.body import read_body
from gateway.edge.context import RequestContext, context_of
from gateway.edge.disconnect import unless_gone
from gateway.edge.head import RequestHead
from gateway.edge.metrics import Metrics
from gateway.errors import UNCACHEABLE, GatewayError
from gateway.events.envelope import envelopes_of
from gateway.events.flow import EventFlow, Outcome
from gateway.events.records import ObjectEvent, object_events
from gateway.identity.caller import Caller
from tenancy.directory import Tenant

_DONE = 204


class EventRoutes:
    """The endpoint for object events."""

    def __init__(self, flow: ChecksumFlow, events: EventFlow, rules: BulkRules, metrics: Metrics) -> None:
        self._flow = flow
        self._events = events
        self._rules = rules
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
        caller, tenant = await self._flow.admit(head, context)
        algorithms = self._algorithms(head)
        body = await read_body(request, max_bytes=self._rules.max_bytes)
        envelopes = envelopes_of(dict(request.headers), body, most=self._rules.max_objects)
        events = [event for envelope in envelopes for event in object_events(envelope)]
        work = self._all(caller, tenant, events, algorithms, context)
        outcomes = await unless_gone(request.receive, work)
        if names_json(head.joined(b"accept")):
            return JSONResponse({"outcomes": outcomes}, headers=UNCACHEABLE)
        return Response(status_code=_DONE, headers=UNCACHEABLE)

    async def _all(
        self,
        caller: Caller,
        tenant: Tenant,
        events: list[ObjectEvent],
        algorithms: tuple[str, ...],
        context: RequestContext,
    ) -> Counter[str]:
        async def one(event: ObjectEvent) -> Outcome | GatewayError:
            ref = event.refs[0] if event.refs else None
            try:
                if event is not events[0]:
                    # The first one is the call itself, which is counted.
                    await patiently(lambda: self._flow.count_call(caller, tenant))
                outcome = await self._events.handle(caller, tenant, event, algorithms, context.request_id)
            except GatewayError as error:
                record_service_call(context, ref, error.kind.status)
                return error
            record_service_call(context, ref, _DONE)
            return outcome

        outcomes: Counter[str] = Counter()
        failures: list[GatewayError] = []
        at_once = min(self._rules.at_once, len(events))
        async for result in side_by_side(events, one, at_once=at_once, silence_seconds=60):
            if isinstance(result, GatewayError):
                failures.append(result)
            elif result is not None:
                outcomes[result] += 1
                self._metrics.events.labels(result).inc()
        self._metrics.events.labels("failed").inc(len(failures))
        context.facts["events"] = {**outcomes, **({"failed": len(failures)} if failures else {})}
        if failures:
            raise next((each for each in failures if each.retry_after_seconds is not None), failures[0])
        return outcomes

    def _algorithms(self, head: RequestHead) -> tuple[str, ...]:
        names = ordered_algorithms(parse_query(head.query).get("algorithm", []))
        return tuple(names) or self._rules.default_algorithms
