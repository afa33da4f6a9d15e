"""HTTP route of bulk requests: a list of objects in, one JSON line per object out, in order of completion."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.checksums.audit import record_service_call
from gateway.checksums.bulk import (
    BulkChecksumRequest,
    calls_of,
    map_concurrently,
    parse_bulk_request,
    retry_when_limited,
)
from gateway.checksums.bulk_work import BulkWork
from gateway.checksums.list_slots import ListSlot, ListSlots, declared_length
from gateway.checksums.service import Checksums
from gateway.checksums.small_objects import SmallObjects
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.body import body_pieces, read_body
from gateway.http.context import RequestContext, context_of
from gateway.http.disconnect import CallerGoneError, unless_gone
from gateway.http.query import parse_query
from gateway.http.respond import answer_or_error
from gateway.operations.acceptance import CHECKSUMS, AsyncCalls
from gateway.operations.preference import AsyncPreference
from gateway.policy.names import Rule
from gateway.settings.limits import ChecksumSettings
from gateway.telemetry.outcome import GONE

MEDIA_TYPE = "application/x-ndjson"
# Well below the idle timeout of proxies, which close a connection that is silent for a minute.
SIGN_OF_LIFE_SECONDS = 15.0


class BulkRoutes:
    """The endpoint of bulk requests."""

    def __init__(
        self,
        admission: Admission,
        checksums: Checksums,
        small: SmallObjects,
        settings: ChecksumSettings,
        slots: ListSlots,
        *,
        asynchronous: AsyncCalls,
    ) -> None:
        self._admission = admission
        self._checksums = checksums
        self._small = small
        self._settings = settings
        self._slots = slots
        self._asynchronous = asynchronous

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
        call = await self._admission.admit(context, Rule.CHECKSUMS_LIST, services=True)
        parse_query(context.head.query, ())
        _refuse_other_than_json(request)
        preference = self._asynchronous.preference(context.head)
        if preference is not None:
            return await self._accept(request, call, preference)
        with contextlib.ExitStack() as held:
            slot = held.enter_context(self._slots.slot(call.caller, declared_length(request.headers)))
            work = await self._read(request, slot, call)
            return _LineStream(self._lines(work), context, held.pop_all().close)

    async def _accept(self, request: Request, call: Call, preference: AsyncPreference) -> Response:
        self._checksums.check_enabled(call)

        def opened(most: int) -> AsyncIterator[bytes]:
            return body_pieces(request, max_bytes=min(most, self._settings.bulk_body_max_bytes))

        with self._slots.slot(call.caller, declared_length(request.headers)):
            operation = await self._asynchronous.accept(
                call, preference, kind=CHECKSUMS, subject="many objects", open_body=opened
            )
        return await unless_gone(request.receive, self._asynchronous.answer(call, operation, preference))

    async def _read(self, request: Request, slot: ListSlot, call: Call) -> BulkWork:
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

        bulk = await unless_gone(request.receive, read())
        return BulkWork(call, bulk, paid, admission=self._admission, checksums=self._checksums, small=self._small)

    async def _lines(self, work: BulkWork) -> AsyncGenerator[bytes, None]:
        log_fields = work.call.context.log
        log_fields.objects = work.count
        concurrency = min(self._settings.bulk_concurrency, work.count)
        try:
            with work.portions(concurrency) as portions:
                results = map_concurrently(
                    portions,
                    lambda portion: work.lines(portion, portions),
                    concurrency=concurrency,
                    silence_seconds=SIGN_OF_LIFE_SECONDS,
                )
                async with contextlib.aclosing(results):
                    async for lines in results:
                        if lines and not any(lines):
                            continue  # all of their objects are left for later
                        yield b"".join(lines) or b"\n"
        finally:
            log_fields.failed = work.failed


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
