"""ASGI middleware of every request: request id, access log and metrics, strict head.

They wrap the application in the order `RequestIdMiddleware(AccessLogMiddleware(StrictHeadMiddleware(app)))`, so that a
rejected head and a crash have an id, a line and a count too.
"""

import asyncio
import json
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.http.context import RequestContext, context_of, open_context
from gateway.http.head import REFUSAL, read_head
from gateway.http.metrics import METHODS, Metrics, counter_of, histogram_of
from gateway.http.respond import failure
from gateway.limit_use import ratelimit_fields
from gateway.settings.server import RequestSettings
from gateway.telemetry.outcome import CALLER_GONE, FIRST_FAULT, GONE, Outcome, outcome_of
from gateway.telemetry.trace import Recorder, Span, begun, enter, received

_TRACE_FIELDS = (b"traceparent", b"tracestate")

access_log = logging.getLogger("gateway.access")
log = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Assigns each request an id and returns it as `X-Openstack-Request-Id`, with the use of the project's limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)
        field = (b"x-openstack-request-id", context.request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], field, *ratelimit_fields(context.limits.values())]
            await send(message)

        await self._app(scope, receive, send_with_id)


class AccessLogMiddleware:
    """Writes one access log line per request, counts it, and adds it to a trace."""

    def __init__(self, app: ASGIApp, metrics: Metrics, recorder: Recorder | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        span = self._begin(scope, context)
        status = CALLER_GONE  # nginx's status for a caller that disconnected before the answer

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_and_see)
        except Exception:
            # The answer (500) is sent; the traceback is logged with the request id that the caller got.
            log.exception("unexpected error request_id=%s", context.request_id)
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, context, status, span)

    def _begin(self, scope: Scope, context: RequestContext) -> Span | None:
        named = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in _TRACE_FIELDS]
        parent = received(*([value for name, value in named if name == field] for field in _TRACE_FIELDS))
        span = self._recorder.request(parent) if self._recorder else None
        context.trace = span.trace if span else begun(parent)
        enter(context.trace, self._recorder)
        return span

    def _record(self, scope: Scope, context: RequestContext, status: int, span: Span | None) -> None:
        if context.log.error == GONE:
            # The head may have gone out before the caller left.
            status = CALLER_GONE
        seconds = time.perf_counter() - context.started
        method = scope["method"] if scope["method"] in METHODS else "other"
        outcome = outcome_of(status, context.log.error)
        counter_of(self._metrics.request_outcomes, context.route, f"{status // 100}xx", outcome).inc()
        if span is not None:
            _end(span, context, method, status, outcome)
        counter_of(self._metrics.requests, context.route, method, status).inc()
        histogram_of(self._metrics.request_duration, context.route).observe(seconds)
        if not access_log.isEnabledFor(logging.INFO):
            return
        line = {
            "request_id": context.request_id,
            "global_request_id": context.global_request_id,
            "method": method,
            "path": scope["raw_path"].decode("latin-1")[:1024],
            "route": context.route,
            "status": status,
            "outcome": outcome,
            "trace_id": context.trace.trace_id if context.trace else None,
            "span_id": context.trace.span_id if context.trace else None,
            "seconds": round(seconds, 6),
            **{f"{name}_seconds": round(value, 6) for name, value in context.timings.items()},
            **context.log.present(),
        }
        access_log.info("%s", json.dumps(line))


def _end(span: Span, context: RequestContext, method: str, status: int, outcome: Outcome) -> None:
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": context.route,
        "http.response.status_code": status,
        "osfaas.outcome": outcome,
        "osfaas.request_id": context.request_id,
    }
    if context.log.project_id is not None:
        attributes["osfaas.project_id"] = context.log.project_id
    span.end(f"{method} {context.route}", attributes, failed=status >= FIRST_FAULT)


class StrictHeadMiddleware:
    """Rejects invalid heads and strips header fields that claim an identity."""

    def __init__(self, app: ASGIApp, limits: RequestSettings) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        try:
            head = read_head(scope, self._limits)
            scope["headers"] = list(head.fields)
            context.head = head
            await _unless_refused(self._app, scope, receive, send)
        except GatewayError as error:
            # What follows a request that is not understood cannot be framed: the connection ends here.
            await failure(context, error.with_headers({"Connection": "close"}))(scope, receive, send)


async def _unless_refused(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs the application, and cancels it if the body turns out to be unacceptable.

    Raises:
        GatewayError: what is wrong with the body (see strict_protocol).
    """
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if REFUSAL not in scope or task is None:
            raise
        task.uncancel()
        raise scope.pop(REFUSAL) from None
