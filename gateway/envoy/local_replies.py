"""Replies of Envoy itself, in the form of the gateway's errors: clients print the same kind of sentence."""

from gateway.envoy.limits import EnvoyLimits
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError, error_body

# Filled in by Envoy, which has it in its log too. The ids of requests are the gateway's.
REQUEST_ID = "envoy-%CONNECTION_ID%"
# Envoy's status for an upgrade that is not configured; the gateway says 400.
_UPGRADE_FAILED = 403
_HAS_NO_ROUTE: dict[str, object] = {"response_flag_filter": {"flags": ["NR"]}}


def local_reply_config(limits: EnvoyLimits) -> dict[str, object]:
    """The `local_reply_config` of a connection manager."""
    malformed = GatewayError(
        ErrorCode.REQUEST_MALFORMED, why="its head, its framing or its field names are not allowed"
    )
    upgrade = GatewayError(ErrorCode.REQUEST_MALFORMED, why="no other protocol is spoken here")
    not_found = GatewayError(ErrorCode.ROUTE_NOT_FOUND)
    errors = (
        malformed,
        GatewayError(ErrorCode.REQUEST_TIMEOUT, part="head or body"),
        GatewayError(
            ErrorCode.REQUEST_HEAD_TOO_LARGE, why=f"more than {limits.head_kib} KiB or {limits.fields} fields"
        ),
        GatewayError(ErrorCode.SERVICE_UNAVAILABLE),
    )
    return {
        "mappers": [
            _mapper(not_found, {"and_filter": {"filters": [_status_is(not_found.kind.status), _HAS_NO_ROUTE]}}),
            # Envoy says 404 to a target that is no path as well, such as `*`.
            _mapper(malformed, _status_is(not_found.kind.status)),
            _mapper(upgrade, _status_is(_UPGRADE_FAILED)),
            *(_mapper(error, _status_is(error.kind.status)) for error in errors),
        ]
    }


def _status_is(status: int) -> dict[str, object]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"osfaas.local_reply.{status}"}}
    return {"status_code_filter": {"comparison": comparison}}


def _mapper(error: GatewayError, when: dict[str, object]) -> dict[str, object]:
    fields = dict(UNCACHEABLE)
    if error.retry_after_seconds is not None:
        fields["Retry-After"] = str(error.retry_after_seconds)
    return {
        "filter": when,
        "status_code": error.kind.status,
        "body_format_override": {"json_format": error_body(error, REQUEST_ID)},
        "headers_to_add": [{"header": {"key": name, "value": value}} for name, value in fields.items()],
    }
