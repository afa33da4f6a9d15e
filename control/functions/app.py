"""The application of `/v1/functions`: middleware, routes and wiring."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from control.functions.openapi import openapi_document
from control.functions.routes import FunctionRoutes
from control.functions.source import SourceUploads
from gateway.calls.admission import Admission
from gateway.http.context import context_of
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes
from gateway.http.strict_protocol import PROJECT_OF, ProjectOf
from gateway.identity.credential import IdentityService
from gateway.limits.limiter import ProjectLimiter
from gateway.server.clients import open_clients, store_origins
from gateway.server.wiring import build_authenticator, build_store, open_limit_backend
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from policies.model import Platform
from tenancy.directory.protocol import TenantDirectory
from tenancy.function_repository import FunctionRepository
from tenancy.repository import TenantRepository


@dataclass(frozen=True, slots=True)
class FunctionsApi:
    """What the application works on.

    Attributes:
        directory: tenants by project, from memory: whether a caller's project may do anything.
        tenants: reads a tenant's specification.
        functions: reads and writes functions.
        platform: the operator's rules.
    """

    directory: TenantDirectory
    tenants: TenantRepository
    functions: FunctionRepository
    platform: Platform


def build_functions_app(settings: Settings, identity: IdentityService, api: FunctionsApi) -> ASGIApp:
    """Builds the ASGI application.

    Args:
        settings: as for the gateway; those of functions and stores are not used.
        identity: the Keystone of the callers, and our credential there.
        api: what it works on.
    """
    metrics, recorder = Metrics(), recorder_of(settings)
    allowlist = store_origins(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, ProjectOf]]:
        async with (
            recording(recorder),
            open_clients(settings, identity, allowlist) as (_, store_http, http),
            open_limit_backend(settings, metrics) as backend,
        ):
            authenticator = build_authenticator(settings, identity, metrics, http)
            admission = Admission(authenticator, api.directory, ProjectLimiter(backend, settings, metrics))
            store = build_store(settings, identity, store_http, http, allowlist)
            ca_file = settings.registry_ca_file
            app.state.functions = FunctionRoutes(
                admission=admission,
                tenants=api.tenants,
                functions=api.functions,
                platform=api.platform,
                uploads=SourceUploads(admission, api.platform.builds, store, verify=str(ca_file) if ca_file else True),
                public_url=settings.public_url,
            )
            yield {PROJECT_OF: authenticator.project_of}

    app = Starlette(routes=_routes(settings, metrics, api.directory), lifespan=lifespan)
    install_error_handlers(app)
    return RequestMiddleware(app, settings, metrics, recorder)


def _routes(settings: Settings, metrics: Metrics, directory: TenantDirectory) -> list[Route]:
    service = ServiceRoutes(
        public_url=settings.public_url,
        disable_file=settings.disable_file,
        prepared=lambda: directory.sync_age_seconds() is not None,
    )
    # Rendered once: the route needs no token, so it must be cheap under attack.
    document = JSONResponse(openapi_document(settings.public_url)).body

    async def openapi(request: Request) -> Response:
        context_of(request.scope).route = "openapi"
        return Response(document, media_type="application/json")

    async def collection(request: Request) -> Response:
        return await _of(request).collection(request)

    async def item(request: Request) -> Response:
        return await _of(request).item(request)

    async def revisions(request: Request) -> Response:
        return await _of(request).revisions(request)

    async def logs(request: Request) -> Response:
        return await _of(request).logs(request)

    async def source(request: Request) -> Response:
        return await _of(request).source(request)

    async def build_logs(request: Request) -> Response:
        return await _of(request).build_logs(request)

    return [
        Route("/v1/functions", collection, methods=["GET"]),
        Route("/v1/functions/openapi.json", openapi, methods=["GET"]),
        Route("/v1/functions/{name}", item, methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/v1/functions/{name}/source", source, methods=["PUT"]),
        Route("/v1/functions/{name}/build-logs", build_logs, methods=["GET"]),
        Route("/v1/functions/{name}/revisions", revisions, methods=["GET"]),
        Route("/v1/functions/{name}/logs", logs, methods=["GET"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]


def _of(request: Request) -> FunctionRoutes:
    routes: FunctionRoutes = request.app.state.functions
    return routes
