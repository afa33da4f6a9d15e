"""The controller's small HTTP endpoint: /healthz, /readyz, /metrics."""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

Start = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    # A silent client must not block the kubelet's probes.
    timeout = 5

    def log_message(self, *args: Any) -> None:
        """Probes and scrapes are not logged."""


class HealthServer:
    """Serves in its own thread for the duration of a `with` block."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, is_healthy: Callable[[], bool]) -> None:
        self._is_healthy = is_healthy
        self._metrics = make_wsgi_app(registry)
        self._server = make_server(host, port, self._answer, WSGIServer, _Quiet)

    @property
    def port(self) -> int:
        """The bound port; also if port 0 was requested."""
        return int(self._server.server_port)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            metrics: Iterable[bytes] = self._metrics(environ, start)
            return metrics
        if path not in {"/healthz", "/readyz"}:
            return _plain(start, "404 Not Found")
        # A standby replica is ready too; an unreachable Keystone is no reason for a restart.
        return _plain(start, "200 OK" if self._is_healthy() else "503 Service Unavailable")


def _plain(start: Start, status: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{status[4:]}\n".encode()]
