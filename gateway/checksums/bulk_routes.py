"""The HTTP face of bulk: a list of objects in, a line of JSON for each out, as soon as it is known."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import (
    BulkOrder,
    BulkRules,
    Misnamed,
    bulk_order_of,
    calls_of,
    patiently,
    side_by_side,
)
from gateway.checksums.flow import ChecksumFlow
from gateway.checksums.list_slots import ListSlot, ListSlots, declared_length
from gateway.checksums.routes import answer_document
from gateway.edge.answer import answer_or_error
from gateway.edge.body import read_body
from gateway.edge.context import RequestContext, context_of
from gateway.edge.disconnect import CallerGoneError, unless_gone
from gateway.edge.query import parse_query
from gateway.errors import UNCACHEABLE, GatewayError, Kind, error_body
from gateway.identity.caller import Caller
from gateway.json_text import json_bytes
from gateway.observe.outcome import CALLER_GONE, GONE
from tenancy.directory.protocol import Tenant

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/x-ndjson"
# Well below the patience of proxies, which close a connection that is silent for a minute.
SIGN_OF_LIFE_SECONDS = 15.0
_OK = 200


@dataclass(frozen=True, slots=True)
class _Call:
    """One call about many objects.

    Attributes:
        paid: how many of the entries are counted already, with the call itself.
    """

    caller: Caller
    tenant: Tenant
    order: BulkOrder
    paid: int
    context: RequestContext


class BulkRoutes:
    """The endpoint for many objects."""

    def __init__(self, flow: ChecksumFlow, rules: BulkRules, slots: ListSlots) -> None:
        self._flow = flow
        self._rules = rules
        self._slots = slots

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
        parse_query(context.head.query, ())
        _refuse_other_than_json(request)
        with contextlib.ExitStack() as held:
            slot = held.enter_context(self._slots.slot(caller, declared_length(request.headers)))
            call = await self._read(request, slot, caller, tenant, context)
            return _Lines(self._lines(call), context, held.pop_all().close)

    async def _read(
        self, request: Request, slot: ListSlot, caller: Caller, tenant: Tenant, context: RequestContext
    ) -> _Call:
        body = await read_body(request, max_bytes=self._rules.max_bytes)
        slot.shrink(len(body))
        paid = calls_of(len(body))

        async def read() -> BulkOrder:
            await patiently(lambda: self._flow.count_call(caller, tenant, paid - 1))
            async with self._slots.parsing:
                return await bulk_order_of(
                    body, default_algorithms=self._rules.default_algorithms, max_objects=self._rules.max_objects
                )

        return _Call(caller, tenant, await unless_gone(request.receive, read()), paid, context)

    async def _lines(self, call: _Call) -> AsyncGenerator[bytes, None]:
        failed, count = 0, len(call.order.objects)
        call.context.facts["objects"] = count

        async def line(number: int) -> bytes:
            nonlocal failed
            document = await self._document(call, number)
            failed += "error" in document
            return json_bytes({"index": number, **document}) + b"\n"

        at_once = min(self._rules.at_once, count)
        results = side_by_side(range(count), line, at_once=at_once, silence_seconds=SIGN_OF_LIFE_SECONDS)
        try:
            async with contextlib.aclosing(results):
                async for lines in results:
                    yield b"".join(lines) or b"\n"
        finally:
            call.context.facts["failed"] = failed

    async def _document(self, call: _Call, number: int) -> dict[str, object]:
        """What one line says: the digests, or the error under the code that it has everywhere."""
        # Rooms leave their timings and sources in a context; those of many objects at once would say nothing.
        context = RequestContext(request_id=call.context.request_id, service_caller=call.context.service_caller)
        entry = call.order.objects[number]
        ref = None if isinstance(entry, Misnamed) else entry
        try:
            if number >= call.paid:
                await patiently(lambda: self._flow.count_call(call.caller, call.tenant))
            one = call.order.order_of(number)
            answer = await patiently(lambda: self._flow.answer(call.caller, call.tenant, one, context))
        except GatewayError as error:
            failure = error
        except asyncio.CancelledError:
            record_service_call(context, ref, CALLER_GONE)
            raise
        except Exception:
            # One object that meets a mistake of ours must not take the others with it.
            log.exception("unexpected error request_id=%s", context.request_id)
            failure = GatewayError(Kind.INTERNAL)
        else:
            record_service_call(context, ref, _OK)
            return answer_document(answer)
        record_service_call(context, ref, failure.kind.status)
        return named(call.order, number) | error_body(failure, context.request_id)


class _Lines(StreamingResponse):
    """The answer. A caller that leaves in the middle of it ends the work, and is logged as gone."""

    def __init__(self, lines: AsyncGenerator[bytes, None], context: RequestContext, close: Callable[[], None]) -> None:
        """`close` is called at the end, however it comes."""
        super().__init__(lines, headers=UNCACHEABLE, media_type=MEDIA_TYPE)
        self._lines = lines
        self._context = context
        self._close = close

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send(send))
        except CallerGoneError:
            self._context.facts["error"] = GONE
        finally:
            self._close()

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._lines):
            await self.stream_response(send)


def _refuse_other_than_json(request: Request) -> None:
    """Refuses a body that says that it is something else; a missing Content-Type says nothing.

    Raises:
        GatewayError: MEDIA_TYPE.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        raise GatewayError(Kind.MEDIA_TYPE, wanted="application/json", media_type=repr(media_type[:64]))


def named(order: BulkOrder, number: int) -> dict[str, object]:
    """The object as the caller named it; null for what is too long to be a name."""
    entry = order.objects[number]
    names = entry.names if isinstance(entry, Misnamed) else (entry.container, entry.name, entry.version)
    return dict(zip(("container", "object", "version_id"), names, strict=True))
