"""Routes that every OpenStack service has: version document, health, readiness."""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.http.context import context_of
from gateway.http.microversions import MAX_VERSION, MIN_VERSION


def no_problem() -> str | None:
    """Nothing to tell."""
    return None


class ServiceRoutes:
    """Endpoints that need no token."""

    def __init__(
        self,
        *,
        public_url: str,
        disable_file: Path | None,
        prepared: Callable[[], bool] = lambda: True,
        problem: Callable[[], str | None] = no_problem,
    ) -> None:
        """Routes of a service.

        Args:
            public_url: of the links.
            disable_file: while it exists, the health check fails.
            prepared: whether the tenants have been read once; once true, it stays true.
            problem: of a component without which calls are served; it is shown, and changes no status.
        """
        self._versions = version_document(public_url)
        self._disable_file = disable_file
        self._prepared = prepared
        self._problem = problem

    async def versions(self, request: Request) -> Response:
        """`/` and `/v1/`: the same document, as keystoneauth's discovery reads it."""
        context_of(request.scope).route = "versions"
        return JSONResponse(self._versions)

    async def healthcheck(self, request: Request) -> Response:
        """`/healthcheck` in the form of oslo.middleware: 200 `OK`, 204 for HEAD, 503 while disabled by file."""
        context_of(request.scope).route = "healthcheck"
        if self._disable_file is not None and self._disable_file.exists():
            return PlainTextResponse("DISABLED BY FILE", 503)
        if request.method == "HEAD":
            return Response(status_code=204)
        return PlainTextResponse("OK")

    async def readiness(self, request: Request) -> Response:
        """`/readyz`: the process has started and can serve requests.

        It does not check Keystone or the store: on a short outage all replicas would leave the load balancer at
        once, and a 503 that names the failed side serves callers better. For the same reason an outage of the
        Kubernetes API changes nothing; only before the first list of tenants the process is not ready.
        """
        context_of(request.scope).route = "readyz"
        if not self._prepared():
            return PlainTextResponse("the tenants are not known yet", 503)
        problem = self._problem()
        return PlainTextResponse("ok" if problem is None else f"ok, but {problem}")


def version_document(public_url: str) -> dict[str, object]:
    """The version document; links come from the configured URL, never from the Host header."""
    return {
        "versions": [
            {
                "id": "v1.0",
                "status": "CURRENT",
                "min_version": str(MIN_VERSION),
                "max_version": str(MAX_VERSION),
                "links": [{"rel": "self", "href": f"{public_url}/v1/"}],
            }
        ]
    }
