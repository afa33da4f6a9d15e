"""The whole configuration of Envoy. Pure: settings and options in, a dictionary out."""

from gateway.envoy.connection_manager import CLUSTER, connection_manager, seconds
from gateway.envoy.limits import BUFFER_BYTES, EnvoyLimits, envoy_limits
from gateway.envoy.options import Address, Certificate, EnvoyOptions
from gateway.settings import Settings
from gateway.upstream.reply_parser import MAX_FIELDS, MAX_HEAD_BYTES

_TYPES = "type.googleapis.com/envoy"
_CONNECT_SECONDS = 5.0
_HEALTH_CHECK_SECONDS = 5.0
# Fields that the gateway adds to those of a function's reply, and their size.
_OWN_FIELDS, _OWN_KIB = 32, 8

# HTTP/2 "rapid reset": a connection ends once this many of its streams have ended, and most of them within a second.
_MAX_PREMATURE_RESETS = 100


def build_config(settings: Settings, options: EnvoyOptions) -> dict[str, object]:
    """Builds the bootstrap configuration of an Envoy in front of gateways.

    Args:
        settings: of the gateways; they have the same.
        options: addresses and files.

    Returns:
        `envoy.config.bootstrap.v3.Bootstrap` in its JSON form, of values that JSON and YAML can hold.
    """
    limits = envoy_limits(settings, len(options.gateways))
    bootstrap: dict[str, object] = {
        "layered_runtime": {"layers": [{"name": "osfaas", "static_layer": _runtime()}]},
        "overload_manager": _overload_manager(limits),
        "static_resources": {
            "listeners": [_listener(limits, options.listen, options.certificate)],
            "clusters": [_cluster(limits, options.gateways)],
        },
    }
    if options.admin is not None:
        bootstrap["admin"] = {"address": _socket(options.admin)}
    return bootstrap


def _runtime() -> dict[str, object]:
    return {
        "overload.premature_reset_total_stream_count": _MAX_PREMATURE_RESETS,
        "overload.premature_reset_min_stream_lifetime_seconds": 1,
        # One request of a connection in each turn: a burst on one does not delay the others.
        "http.max_requests_per_io_cycle": 1,
    }


def _overload_manager(limits: EnvoyLimits) -> dict[str, object]:
    monitors = f"{_TYPES}.extensions.resource_monitors"
    heap = "envoy.resource_monitors.fixed_heap"
    connections = {
        "@type": f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": limits.connections,
    }
    memory = {"@type": f"{monitors}.fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": limits.heap_bytes}

    def above(share: float) -> list[dict[str, object]]:
        return [{"name": heap, "threshold": {"value": share}}]

    return {
        "refresh_interval": "0.250s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
            {"name": heap, "typed_config": memory},
        ],
        "actions": [
            {"name": "envoy.overload_actions.shrink_heap", "triggers": above(0.90)},
            {"name": "envoy.overload_actions.disable_http_keepalive", "triggers": above(0.92)},
            {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": above(0.95)},
            {"name": "envoy.overload_actions.stop_accepting_connections", "triggers": above(0.98)},
        ],
    }


def _listener(limits: EnvoyLimits, listen: Address, certificate: Certificate | None) -> dict[str, object]:
    manager = connection_manager(limits, tls=certificate is not None)
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    chain: dict[str, object] = {"filters": filters}
    if certificate is not None:
        chain["transport_socket"] = _tls(certificate)
        chain["transport_socket_connect_timeout"] = seconds(limits.head_seconds)
    return {
        "name": "callers",
        "address": _socket(listen),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [chain],
    }


def _tls(certificate: Certificate) -> dict[str, object]:
    files = {
        "certificate_chain": {"filename": str(certificate.chain)},
        "private_key": {"filename": str(certificate.key)},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [files],
            },
        },
    }


def _cluster(limits: EnvoyLimits, gateways: tuple[Address, ...]) -> dict[str, object]:
    endpoints = [{"endpoint": {"address": _socket(gateway)}} for gateway in gateways]
    at_most = limits.gateway_connections
    thresholds = {"max_connections": at_most, "max_pending_requests": at_most, "max_requests": at_most}
    return {
        "name": CLUSTER,
        "type": "STATIC" if all(gateway.is_ip for gateway in gateways) else "STRICT_DNS",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": seconds(_CONNECT_SECONDS),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [{**thresholds, "max_retries": 0}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _http_1(limits)},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
        **({"health_checks": [_health_check()]} if len(gateways) > 1 else {}),
    }


def _http_1(limits: EnvoyLimits) -> dict[str, object]:
    return {
        "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {
            "idle_timeout": seconds(limits.gateway_idle_seconds),
            "max_headers_count": MAX_FIELDS + _OWN_FIELDS,
            "max_response_headers_kb": MAX_HEAD_BYTES // 1_024 + _OWN_KIB,
        },
    }


def _health_check() -> dict[str, object]:
    """Takes a gateway out while its disable file exists, or while it does not answer."""
    return {
        "interval": seconds(_HEALTH_CHECK_SECONDS),
        "no_traffic_interval": seconds(_HEALTH_CHECK_SECONDS),
        "timeout": seconds(_HEALTH_CHECK_SECONDS),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/healthcheck"},
    }


def _socket(address: Address) -> dict[str, object]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}
