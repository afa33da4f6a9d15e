"""Replies of Envoy itself, in the form of the gateway's errors: clients print the same kind of sentence."""

from gateway.envoy.limits import EnvoyLimits
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError, error_body

# Filled in by Envoy, which has it in its log too. The ids of requests are the gateway's.
REQUEST_ID = "envoy-%CONNECTION_ID%"


def local_reply_config(limits: EnvoyLimits) -> dict[str, object]:
    """The `local_reply_config` of a connection manager."""
    errors = (
        GatewayError(ErrorCode.REQUEST_MALFORMED, why="its head, its framing or its field names are not allowed"),
        GatewayError(ErrorCode.ROUTE_NOT_FOUND),
        GatewayError(ErrorCode.REQUEST_TIMEOUT, part="head or body"),
        GatewayError(
            ErrorCode.REQUEST_HEAD_TOO_LARGE, why=f"more than {limits.head_kib} KiB or {limits.fields} fields"
        ),
        GatewayError(ErrorCode.SERVICE_UNAVAILABLE),
    )
    return {"mappers": [_mapper(error) for error in errors]}


def _mapper(error: GatewayError) -> dict[str, object]:
    status = error.kind.status
    fields = dict(UNCACHEABLE)
    if error.retry_after_seconds is not None:
        fields["Retry-After"] = str(error.retry_after_seconds)
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"osfaas.local_reply.{status}"}}
    return {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": {"json_format": error_body(error, REQUEST_ID)},
        "headers_to_add": [{"header": {"key": name, "value": value}} for name, value in fields.items()],
    }
