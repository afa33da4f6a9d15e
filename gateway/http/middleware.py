"""The one ASGI middleware: request id, trace, strict head, access log and metrics of every request.

It is one layer, because each layer around a call costs a coroutine, a closure and a copy of the response's head. A
rejected head and a crash have an id, a log line and a count like any other request.
"""

import asyncio
import logging

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ErrorCode, GatewayError
from gateway.http.access_log import AccessLog, OnEnd
from gateway.http.context import RequestContext, open_context
from gateway.http.cors import PREFLIGHT_HEADERS, Cors, is_preflight
from gateway.http.head import REFUSAL, RequestHead, read_head
from gateway.http.metrics import Metrics
from gateway.http.respond import failure
from gateway.http.websocket import WEBSOCKET
from gateway.limit_use import ratelimit_fields
from gateway.settings.server import RequestSettings
from gateway.telemetry.outcome import CALLER_GONE
from gateway.telemetry.trace import Recorder, Span, begun, enter, received

_TRACE_FIELDS = (b"traceparent", b"tracestate")
_POLICY_VIOLATION = 1008
_NO_CONTENT = 204

log = logging.getLogger(__name__)


class _Response:
    """Adds our header fields to the head of a response, and keeps its status.

    Attributes:
        origin: of the page that sent the request, if it may read the response.
        status: of the response.
    """

    __slots__ = ("_context", "_cors", "_send", "origin", "status")

    def __init__(self, context: RequestContext, send: Send, cors: Cors | None, scope: Scope) -> None:
        self._context = context
        self._send = send
        self._cors = cors
        self.origin = None if cors is None else cors.origin_of(scope["headers"])
        self.status = CALLER_GONE  # nginx's status for a caller that disconnected before the answer

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            context = self._context
            self.status = message["status"]
            fields = [
                *message["headers"],
                (b"x-openstack-request-id", context.request_id.encode()),
                *ratelimit_fields(context.limits.values()),
            ]
            message["headers"] = fields if self._cors is None else self._cors.answer_fields(fields, self.origin)
        elif (usage := self._context.usage) is not None and message["type"] == "http.response.body":
            usage.response_bytes += len(message.get("body", b""))
        await self._send(message)


class RequestMiddleware:
    """Surrounds the handling of every request.

    The request's head is validated, and header fields that claim an identity are removed. The response gets
    `X-Openstack-Request-Id`, the use of the project's limits, and what a browser needs to let a page read it. The
    request is logged, counted and traced.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: RequestSettings,
        metrics: Metrics,
        recorder: Recorder | None = None,
        *,
        websockets: tuple[bytes, ...] = (),
        on_end: OnEnd | None = None,
    ) -> None:
        """`websockets`: prefixes of the paths at which a WebSocket may begin; `on_end`: see `AccessLog`."""
        self._app = app
        self._websockets = websockets
        self._limits = limits
        self._cors = Cors(limits.cors_origins) if limits.cors_origins else None
        self._metrics = metrics
        self._recorder = recorder
        self._access_log = AccessLog(metrics, on_end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, metrics = open_context(scope), self._metrics
        span = self._begin(scope, context)
        response = _Response(context, send, self._cors, scope)
        metrics.open_requests += 1
        try:
            await self._handle(scope, context, receive, response)
        except Exception:
            # The traceback is logged with the request id that the caller gets.
            log.exception("unexpected error request_id=%s", context.request_id)
            if response.status == CALLER_GONE:
                await failure(context, GatewayError(ErrorCode.INTERNAL))(scope, receive, response.send)
        finally:
            metrics.open_requests -= 1
            self._access_log.record(scope, context, response.status, span)

    def _begin(self, scope: Scope, context: RequestContext) -> Span | None:
        named = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in _TRACE_FIELDS]
        parent = received(*([value for name, value in named if name == field] for field in _TRACE_FIELDS))
        span = self._recorder.request(parent) if self._recorder else None
        context.trace = span.trace if span else begun(parent)
        enter(context.trace, self._recorder)
        return span

    async def _handle(self, scope: Scope, context: RequestContext, receive: Receive, response: _Response) -> None:
        """Validates the head and runs the application, which is cancelled if the body turns out to be unacceptable."""
        send = response.send
        try:
            context.head = head = read_head(scope, self._limits)
            scope["headers"] = list(head.fields)
            if response.origin is not None and is_preflight(head):
                # Before anything knows the path or asks for a token, which a browser does not send here.
                context.route = "preflight"
                await Response(status_code=_NO_CONTENT, headers=PREFLIGHT_HEADERS)(scope, receive, send)
                return
            if WEBSOCKET in scope:
                self._check_path(head)
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if REFUSAL not in scope or task is None:
                raise
            task.uncancel()
            await self._reject(scope, context, receive, send, scope.pop(REFUSAL))
        except GatewayError as error:
            await self._reject(scope, context, receive, send, error)

    def _check_path(self, head: RequestHead) -> None:
        if not head.path.startswith(self._websockets):
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="no WebSocket begins at this path")

    @staticmethod
    async def _reject(scope: Scope, context: RequestContext, receive: Receive, send: Send, error: GatewayError) -> None:
        # What follows a request that is not understood cannot be framed: the connection ends here.
        await failure(context, error.with_headers({"Connection": "close"}))(scope, receive, send)
