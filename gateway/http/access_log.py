"""What stays of a request after its answer: one line of the access log, its metrics, and the end of its span."""

import json
import logging
import time
from collections.abc import Callable

from starlette.types import Scope

from gateway.call_usage import CallUsage
from gateway.http.context import RequestContext
from gateway.http.metrics import METHODS, Metrics
from gateway.telemetry.outcome import CALLER_GONE, FIRST_FAULT, GONE, Outcome, outcome_of
from gateway.telemetry.trace import Span

access_log = logging.getLogger("gateway.access")

_MAX_PATH_CHARS = 1_024

# Gets each request after its answer: context, status, outcome, seconds.
OnEnd = Callable[[RequestContext, int, Outcome, float], None]


class AccessLog:
    """Records each request once it has ended."""

    def __init__(self, metrics: Metrics, on_end: OnEnd | None = None) -> None:
        """`on_end`: makes the usage record, from what the log line shows."""
        self._metrics = metrics
        self._on_end = on_end

    def record(self, scope: Scope, context: RequestContext, status: int, span: Span | None) -> None:
        """Counts a request, ends its span and writes its line.

        Args:
            scope: of the request.
            context: its state after the answer.
            status: of the answer; 499: none was sent.
            span: of the request, if one is recorded.
        """
        if context.log.error == GONE:
            # The head may have gone out before the caller left.
            status = CALLER_GONE
        seconds = time.perf_counter() - context.started
        method = scope["method"] if scope["method"] in METHODS else "other"
        outcome = outcome_of(status, context.log.error)
        self._metrics.count_request(context.route, method, status, outcome, seconds)
        if self._on_end is not None:
            self._on_end(context, status, outcome, seconds)
        if span is not None:
            _end(span, context, method, status, outcome)
        if access_log.isEnabledFor(logging.INFO):
            trace = context.trace
            line = {
                "request_id": context.request_id,
                "global_request_id": context.global_request_id,
                "method": method,
                "path": scope["raw_path"].decode("latin-1")[:_MAX_PATH_CHARS],
                "route": context.route,
                "status": status,
                "outcome": outcome,
                "trace_id": trace.trace_id if trace else None,
                "span_id": trace.span_id if trace else None,
                "seconds": round(seconds, 6),
                **{f"{name}_seconds": round(value, 6) for name, value in context.timings.items()},
                **context.log.present(),
                **(_used(context.usage) if context.usage is not None else {}),
            }
            access_log.info("%s", json.dumps(line))


def _used(usage: CallUsage) -> dict[str, object]:
    return {
        "requests": usage.requests,
        "request_bytes": usage.request_bytes,
        "response_bytes": usage.response_bytes,
        "object_bytes": usage.object_bytes,
        "gb_seconds": round(usage.mib_seconds / 1024, 6),
        "cold_start": usage.cold_start,
        **({"revision": usage.revision} if usage.revision else {}),
    }


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
