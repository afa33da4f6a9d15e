"""Spans to an OpenTelemetry collector (the extra `otel`). Imported only where it is configured.

All settings except the endpoint come from OpenTelemetry's own variables (`OTEL_TRACES_SAMPLER`,
`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, …).
"""

from collections.abc import Mapping

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.telemetry.trace import Trace

_SERVICE = "osfaas-gateway"


class OtelSpan:
    """`Span` of the SDK."""

    def __init__(self, span: otel.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace = Trace(
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            int(context.trace_flags),
            context.trace_state.to_header(),
        )

    def end(self, name: str, attributes: Mapping[str, str | int], *, failed: bool) -> None:
        self._span.update_name(name)
        self._span.set_attributes(dict(attributes))
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtelRecorder:
    """`Recorder` of the SDK, with a private provider: nothing global is changed."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": _SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_SERVICE)

    def request(self, parent: Trace | None) -> OtelSpan:
        return self._begin("request", parent, SpanKind.SERVER)

    def outgoing(self, parent: Trace, name: str) -> OtelSpan:
        return self._begin(name, parent, SpanKind.CLIENT)

    def close(self) -> None:
        """Flushes; takes no longer than the exporter's own time limit."""
        self._provider.shutdown()

    def _begin(self, name: str, parent: Trace | None, kind: SpanKind) -> OtelSpan:
        context = otel.set_span_in_context(otel.NonRecordingSpan(_context(parent))) if parent else None
        return OtelSpan(self._tracer.start_span(name, context=context, kind=kind))


def otlp_recorder(endpoint: str) -> OtelRecorder:
    """A recorder that exports to a collector.

    Args:
        endpoint: OTLP/HTTP endpoint for traces, e.g. `http://collector:4318/v1/traces`.
    """
    return OtelRecorder(OTLPSpanExporter(endpoint=endpoint))


def _context(parent: Trace) -> SpanContext:
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )
