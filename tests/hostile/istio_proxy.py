"""The configuration of the real Envoy as Istio sets it up for its ingress gateway.

Istio's settings are those of its `buildHTTPConnectionManager` and of its gateways' options. What our manifests set is
read from them. Two things differ, both so that more reaches the server than on a cluster: every host and path has a
route, and there is no TLS.
"""

from pathlib import Path

import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
_TYPES = "type.googleapis.com/envoy.extensions.filters"


def _documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")))


def _normalized() -> bool:
    """What Istio makes of our `meshConfig.pathNormalization`."""
    mesh = _documents("platform/istio/istiod.yaml")[0]["meshConfig"]
    return mesh["pathNormalization"]["normalization"] != "NONE"


def _routes() -> list[dict[str, object]]:
    """Those of our VirtualService, by what they do: reads are tried again, the rest once."""
    found = next(each for each in _documents("gateway/edge.yaml") if each["kind"] == "VirtualService")
    named = {each["name"]: each for each in found["spec"]["http"]}
    once, idempotent = named["once"], named["idempotent"]
    changes = {
        "request_headers_to_remove": once["headers"]["request"]["remove"],
        "response_headers_to_remove": once["headers"]["response"]["remove"],
    }
    method = {"name": ":method", "string_match": {"safe_regex": {"regex": idempotent["match"][0]["method"]["regex"]}}}
    again = {"retry_on": idempotent["retries"]["retryOn"], "num_retries": idempotent["retries"]["attempts"]}
    to = {"cluster": "server", "timeout": once["timeout"]}
    return [
        {"match": {"prefix": "/", "headers": [method]}, "route": {**to, "retry_policy": again}, **changes},
        {"match": {"prefix": "/"}, "route": to, **changes},
    ]


def _manager() -> dict[str, object]:
    return {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "server_name": "istio-envoy",
        "use_remote_address": True,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
        "normalize_path": _normalized(),
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_protocol_options": {},
        "route_config": {
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}
        ],
    }


def istio_config(port: int, server: int) -> dict[str, object]:
    """Envoy on that port, before the server on the other."""

    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager()}]
    assignment = {
        "cluster_name": "server",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(server)}}]}],
    }
    layer = {"overload.global_downstream_max_connections": 2_147_483_647}
    return {
        "layered_runtime": {"layers": [{"name": "global config", "static_layer": layer}]},
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [{"name": "server", "type": "STATIC", "connect_timeout": "10s", "load_assignment": assignment}],
        },
    }
