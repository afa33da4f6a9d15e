"""HTTP route of bulk requests: a list of objects in, one JSON line per object out, in order of completion."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import (
    BulkChecksumRequest,
    InvalidEntry,
    calls_of,
    map_concurrently,
    parse_bulk_request,
    retry_when_limited,
)
from gateway.checksums.list_slots import ListSlot, ListSlots, declared_length
from gateway.checksums.routes import answer_document
from gateway.checksums.service import Checksums
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError, error_body
from gateway.http.body import read_body
from gateway.http.context import RequestContext, context_of
from gateway.http.disconnect import CallerGoneError, unless_gone
from gateway.http.query import parse_query
from gateway.http.respond import answer_or_error
from gateway.json_text import json_bytes
from gateway.settings.limits import ChecksumSettings
from gateway.telemetry.outcome import CALLER_GONE, GONE

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/x-ndjson"
# Well below the idle timeout of proxies, which close a connection that is silent for a minute.
SIGN_OF_LIFE_SECONDS = 15.0
_OK = 200


@dataclass(frozen=True, slots=True)
class _BulkCall:
    """One call about many objects.

    Attributes:
        paid: number of entries that are already counted with the call itself.
    """

    call: Call
    request: BulkChecksumRequest
    paid: int


class BulkRoutes:
    """The endpoint of bulk requests."""

    def __init__(
        self, admission: Admission, checksums: Checksums, settings: ChecksumSettings, slots: ListSlots
    ) -> None:
        self._admission = admission
        self._checksums = checksums
        self._settings = settings
        self._slots = slots

    async def many(self, request: Request) -> Response:
        """`POST /v1/checksums`: newline-delimited JSON, one line per object, an empty line as a keep-alive."""
        context = context_of(request.scope)
        context.route = "checksums.bulk"
        response = await answer_or_error(context, self._begin(request, context))
        if not isinstance(response, StreamingResponse):
            record_service_call(context, None, response.status_code)
        return response

    async def _begin(self, request: Request, context: RequestContext) -> Response:
        assert context.head is not None
        call = await self._admission.admit(context, services=True)
        parse_query(context.head.query, ())
        _refuse_other_than_json(request)
        with contextlib.ExitStack() as held:
            slot = held.enter_context(self._slots.slot(call.caller, declared_length(request.headers)))
            bulk = await self._read(request, slot, call)
            return _LineStream(self._lines(bulk), context, held.pop_all().close)

    async def _read(self, request: Request, slot: ListSlot, call: Call) -> _BulkCall:
        body = await read_body(request, max_bytes=self._settings.bulk_body_max_bytes)
        slot.shrink(len(body))
        paid = calls_of(len(body))

        async def read() -> BulkChecksumRequest:
            await retry_when_limited(lambda: self._admission.count(call, paid - 1))
            async with self._slots.parsing:
                return await parse_bulk_request(
                    body,
                    default_algorithms=self._settings.default_algorithms,
                    max_objects=self._settings.bulk_max_objects,
                )

        return _BulkCall(call, await unless_gone(request.receive, read()), paid)

    async def _lines(self, bulk: _BulkCall) -> AsyncGenerator[bytes, None]:
        failed, count = 0, len(bulk.request.objects)
        bulk.call.context.log.objects = count

        async def line(number: int) -> bytes:
            nonlocal failed
            document = await self._document(bulk, number)
            failed += "error" in document
            return json_bytes({"index": number, **document}) + b"\n"

        concurrency = min(self._settings.bulk_concurrency, count)
        results = map_concurrently(range(count), line, concurrency=concurrency, silence_seconds=SIGN_OF_LIFE_SECONDS)
        try:
            async with contextlib.aclosing(results):
                async for lines in results:
                    yield b"".join(lines) or b"\n"
        finally:
            bulk.call.context.log.failed = failed

    async def _document(self, bulk: _BulkCall, number: int) -> dict[str, object]:
        """The content of one line: the digests, or the error with the same code as everywhere."""
        call = bulk.call.part()
        context, entry = call.context, bulk.request.objects[number]
        ref = None if isinstance(entry, InvalidEntry) else entry
        try:
            if number >= bulk.paid:
                await retry_when_limited(lambda: self._admission.count(call))
            one = bulk.request.request_for(number)
            answer = await retry_when_limited(lambda: self._checksums.answer(call, one))
        except GatewayError as error:
            failure = error
        except asyncio.CancelledError:
            record_service_call(context, ref, CALLER_GONE)
            raise
        except Exception:
            # A defect that one object triggers must not fail the others.
            log.exception("unexpected error request_id=%s", context.request_id)
            failure = GatewayError(ErrorCode.INTERNAL)
        else:
            record_service_call(context, ref, _OK)
            return answer_document(answer)
        record_service_call(context, ref, failure.kind.status)
        return named(bulk.request, number) | error_body(failure, context.request_id)


class _LineStream(StreamingResponse):
    """The streamed response. A disconnect of the caller cancels the work, and is logged."""

    def __init__(self, lines: AsyncGenerator[bytes, None], context: RequestContext, close: Callable[[], None]) -> None:
        """`close` is always called at the end."""
        super().__init__(lines, headers=UNCACHEABLE, media_type=MEDIA_TYPE)
        self._lines = lines
        self._context = context
        self._close = close

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send(send))
        except CallerGoneError:
            self._context.log.error = GONE
        finally:
            self._close()

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._lines):
            await self.stream_response(send)


def _refuse_other_than_json(request: Request) -> None:
    """Rejects a body of another media type; a missing Content-Type is accepted.

    Raises:
        GatewayError: REQUEST_MEDIA_TYPE.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        raise GatewayError(ErrorCode.REQUEST_MEDIA_TYPE, wanted="application/json", media_type=repr(media_type[:64]))


def named(bulk: BulkChecksumRequest, number: int) -> dict[str, object]:
    """The names as the caller sent them; null for a name that is too long."""
    entry = bulk.objects[number]
    names = entry.names if isinstance(entry, InvalidEntry) else (entry.container, entry.name, entry.version)
    return dict(zip(("container", "object", "version_id"), names, strict=True))
