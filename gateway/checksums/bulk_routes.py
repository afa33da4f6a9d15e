"""The HTTP face of bulk: a list of objects in, a line of JSON for each out, as soon as it is known."""

import json
import logging
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import BulkOrder, BulkRules, bulk_order_of, patiently, side_by_side
from gateway.checksums.flow import ChecksumFlow
from gateway.checksums.routes import answer_document
from gateway.edge.answer import answer_or_error
from gateway.edge.body import json_of, read_body
from gateway.edge.context import RequestContext, context_of
from gateway.errors import UNCACHEABLE, GatewayError, Kind, error_body
from gateway.identity.caller import Caller
from tenancy.directory import Tenant

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/x-ndjson"
# Well below the patience of proxies, which close a connection that is silent for a minute.
SIGN_OF_LIFE_SECONDS = 15.0
_OK = 200


class BulkRoutes:
    """The endpoint for many objects."""

    def __init__(self, flow: ChecksumFlow, rules: BulkRules) -> None:
        self._flow = flow
        self._rules = rules

    async def many(self, request: Request) -> Response:
        """`POST /v1/checksums`: newline-delimited JSON, one line for each object, an empty one as a sign of life."""
        context = context_of(request.scope)
        context.route = "checksums.bulk"
        response = await answer_or_error(context, self._begin(request, context))
        if not isinstance(response, StreamingResponse):
            record_service_call(context, None, response.status_code)
        return response

    async def _begin(self, request: Request, context: RequestContext) -> Response:
        assert context.head is not None
        caller, tenant = await self._flow.admit(context.head, context)
        document = json_of(await read_body(request, max_bytes=self._rules.max_bytes))
        order = bulk_order_of(
            document, default_algorithms=self._rules.default_algorithms, max_objects=self._rules.max_objects
        )
        lines = self._lines(caller, tenant, order, context)
        return StreamingResponse(lines, headers=UNCACHEABLE, media_type=MEDIA_TYPE)

    async def _lines(
        self, caller: Caller, tenant: Tenant, order: BulkOrder, context: RequestContext
    ) -> AsyncIterator[bytes]:
        failed = 0
        context.facts["objects"] = len(order.objects)

        async def line(number: int) -> bytes:
            nonlocal failed
            document = await self._document(caller, tenant, order, number, context)
            failed += "error" in document
            return json.dumps({"index": number, **document}).encode() + b"\n"

        numbers = range(len(order.objects))
        at_once = min(self._rules.at_once, len(order.objects))
        async for ready in side_by_side(numbers, line, at_once=at_once, silence_seconds=SIGN_OF_LIFE_SECONDS):
            yield b"\n" if ready is None else ready
        context.facts["failed"] = failed

    async def _document(
        self, caller: Caller, tenant: Tenant, order: BulkOrder, number: int, call: RequestContext
    ) -> dict[str, object]:
        """What one line says: the digests, or the error under the code that it has everywhere."""
        # Rooms leave their timings in a context; those of many objects at once would say nothing.
        context = RequestContext(request_id=call.request_id, service_caller=call.service_caller)
        ref = None
        try:
            one = order.order_of(number)
            ref = one.ref
            if number:
                # The first one is the call itself, which is counted.
                await patiently(lambda: self._flow.count_call(caller, tenant))
            answer = await patiently(lambda: self._flow.answer(caller, tenant, one, context))
        except GatewayError as error:
            failure = error
        except Exception:
            # One object that meets a mistake of ours must not take the others with it.
            log.exception("unexpected error request_id=%s", call.request_id)
            failure = GatewayError(Kind.INTERNAL)
        else:
            record_service_call(context, ref, _OK)
            return answer_document(answer)
        record_service_call(context, ref, failure.kind.status)
        return named(order, number) | error_body(failure, call.request_id)


def named(order: BulkOrder, number: int) -> dict[str, object]:
    """The object as the caller named it; null for what is no name: it may be NaN, or too deep to be written."""
    entry = order.objects[number]
    values = entry if isinstance(entry, dict) else {}
    fields = ("container", "object", "version_id")
    return {field: value if isinstance(value := values.get(field), str) else None for field in fields}
