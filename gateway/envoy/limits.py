"""Limits of Envoy, derived from the settings of the gateway behind it: each limit has one source.

Sizes and times that both sides check are equal, so Envoy refuses first. Times of a whole call are longer than those of
the gateway, so that the gateway states what was late.
"""

import math
from dataclasses import dataclass

from gateway.settings import Settings

# Connections to each gateway that stay free for probes and metrics.
_RESERVED_CONNECTIONS = 16
# A minute for the gateway to answer after its longest timeout, as in manifests/gateway/edge.yaml.
_GRACE_SECONDS = 60.0
# Of the gateway's keep-alive. A call on a connection that the gateway has just closed fails, and is not sent again.
_UPSTREAM_IDLE_SHARE = 0.8
# Envoy's own maximum (max_request_headers_kb).
_HEAD_MAX_KIB = 8_192

# In each direction of a connection; beyond it, the faster side is not read.
BUFFER_BYTES = 65_536
# Of a process without connections, and of each connection: buffers in both directions, TLS, HTTP/2 windows.
_HEAP_BASE_BYTES = 64 << 20
_HEAP_PER_CONNECTION_BYTES = 2 * BUFFER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyLimits:
    """Limits of one Envoy.

    Attributes:
        connections: maximum from callers.
        gateway_connections: maximum to all gateways.
        head_kib: maximum size of a request's head, in KiB.
        fields: maximum number of header fields in a request.
        head_seconds: maximum time for a head, and for a TLS handshake.
        idle_seconds: how long an idle connection of a caller is kept.
        gateway_idle_seconds: the same for connections to gateways.
        request_seconds: maximum time for a request with its body to arrive.
        stream_seconds: maximum time of a request and its answer.
        flush_seconds: how long the rest of a finished answer may wait for a caller that does not read.
        heap_bytes: memory beyond which new requests are refused.
    """

    connections: int
    gateway_connections: int
    head_kib: int
    fields: int
    head_seconds: float
    idle_seconds: float
    gateway_idle_seconds: float
    request_seconds: float
    stream_seconds: float
    flush_seconds: float
    heap_bytes: int


def envoy_limits(settings: Settings, gateways: int) -> EnvoyLimits:
    """The limits of an Envoy in front of a number of gateways with the same settings."""
    connections = gateways * settings.max_connections
    longest = max(settings.function_timeout_seconds, settings.response_timeout_seconds)
    return EnvoyLimits(
        connections=connections,
        gateway_connections=max(gateways, connections - gateways * _RESERVED_CONNECTIONS),
        head_kib=min(_HEAD_MAX_KIB, math.ceil(settings.head_max_bytes / 1_024)),
        fields=settings.head_max_fields,
        head_seconds=settings.head_timeout_seconds,
        idle_seconds=settings.keep_alive_seconds,
        gateway_idle_seconds=settings.keep_alive_seconds * _UPSTREAM_IDLE_SHARE,
        # The body of an invocation is streamed to the function, whose time has begun.
        request_seconds=settings.function_timeout_seconds,
        stream_seconds=longest + _GRACE_SECONDS,
        flush_seconds=settings.transfer_window_seconds,
        heap_bytes=_HEAP_BASE_BYTES + connections * _HEAP_PER_CONNECTION_BYTES,
    )
