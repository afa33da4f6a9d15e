"""The connection manager: how Envoy reads requests of callers, and which it passes on.

Paths are passed on as they came, because they are the names of objects. Fields that Envoy would trust or add are
removed, because the gateway reads none of them; other fields that claim an identity are removed by the gateway.
"""

from gateway.envoy.limits import EnvoyLimits
from gateway.envoy.local_replies import REQUEST_ID, local_reply_config

CLUSTER = "gateway"
# Of the gateway, `/metrics` and `/readyz` are for operators only.
EXACT_PATHS = ("/", "/healthcheck", "/v1", "/checksums")
PATH_PREFIXES = ("/v1/", "/checksums/")

_TYPES = "type.googleapis.com/envoy.extensions"
# Envoy adds the first two, and passes on the others that a caller sends.
_REMOVED = (
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-request-id",
)
# Without the query, and without any header field: both may hold secrets.
_LOG_FORMAT = (
    f"%START_TIME% envoy request_id={REQUEST_ID} client=%DOWNSTREAM_REMOTE_ADDRESS% method=%REQ(:METHOD)% "
    "path=%PATH(NQ)% status=%RESPONSE_CODE% details=%RESPONSE_CODE_DETAILS% flags=%RESPONSE_FLAGS% "
    "milliseconds=%DURATION%\n"
)
_MAX_STREAMS = 100
_STREAM_WINDOW_BYTES = 65_536
_CONNECTION_WINDOW_BYTES = 262_144


def seconds(value: float) -> str:
    """A duration in the JSON form of protobuf."""
    return f"{value:.3f}s"


def connection_manager(limits: EnvoyLimits, *, tls: bool) -> dict[str, object]:
    """The filter that reads HTTP/1.1 and HTTP/2."""
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "codec_type": "AUTO",
        **_paths_as_sent(),
        **_nothing_trusted(),
        **_timeouts(limits),
        "max_request_headers_kb": limits.head_kib,
        "common_http_protocol_options": {
            "idle_timeout": seconds(limits.idle_seconds),
            "max_stream_duration": seconds(limits.stream_seconds),
            "max_headers_count": limits.fields,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        # Neither HTTP/1.0 nor absolute targets: the gateway is no forward proxy.
        "http_protocol_options": {"allow_absolute_url": False, "accept_http_10": False},
        "http2_protocol_options": _http2(),
        # The gateway checks the handshake, and opens a WebSocket only to a function.
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        # The gateway asks for a body once it knows the caller.
        "proxy_100_continue": True,
        "access_log": [_access_log()],
        "local_reply_config": local_reply_config(limits),
        "route_config": _routes(tls=tls),
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
            }
        ],
    }


def _paths_as_sent() -> dict[str, object]:
    return {
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    }


def _nothing_trusted() -> dict[str, object]:
    return {
        # The peer is the caller, whatever a field says, and no address is an internal one.
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        "skip_xff_append": True,
        "internal_address_config": {},
        "forward_client_cert_details": "SANITIZE",
        # The gateway makes the id of a request.
        "generate_request_id": False,
        "preserve_external_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
    }


def _timeouts(limits: EnvoyLimits) -> dict[str, object]:
    return {
        "request_headers_timeout": seconds(limits.head_seconds),
        "request_timeout": seconds(limits.request_seconds),
        # Nothing is sent during a computation, so a silent stream may last as long as any.
        "stream_idle_timeout": seconds(limits.stream_seconds),
        "stream_flush_timeout": seconds(limits.flush_seconds),
        # An early answer is read by its caller before the rest of the body meets a closed connection.
        "delayed_close_timeout": "2s",
    }


def _http2() -> dict[str, object]:
    return {
        "max_concurrent_streams": _MAX_STREAMS,
        "initial_stream_window_size": _STREAM_WINDOW_BYTES,
        "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
        "max_outbound_frames": 1_000,
        "max_outbound_control_frames": 500,
        "max_consecutive_inbound_frames_with_empty_payload": 1,
        "max_inbound_priority_frames_per_stream": 10,
        "max_inbound_window_update_frames_per_data_frame_sent": 10,
        "override_stream_error_on_invalid_http_message": False,
        # A caller that has gone without a word keeps no call running.
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }


def _access_log() -> dict[str, object]:
    """A line for each request that the gateway did not answer; the gateway logs the others."""
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": {"response_flag_filter": {}},
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": _LOG_FORMAT}},
        },
    }


def _routes(*, tls: bool) -> dict[str, object]:
    matches = [{"path": path} for path in EXACT_PATHS] + [{"prefix": prefix} for prefix in PATH_PREFIXES]
    strict_transport = {"header": {"key": "Strict-Transport-Security", "value": "max-age=31536000"}}
    return {
        "name": "callers",
        "virtual_hosts": [
            {
                "name": "gateway",
                "domains": ["*"],
                # `max_stream_duration` bounds each call. A call may have done its work already: none is sent again.
                "routes": [{"match": match, "route": {"cluster": CLUSTER, "timeout": "0s"}} for match in matches],
            }
        ],
        "request_headers_to_remove": list(_REMOVED),
        **({"response_headers_to_add": [strict_transport]} if tls else {}),
    }
