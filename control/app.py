"""The administrators' API: a separate process with a separate service account.

The gateway may only read Tenants, so that a compromised gateway cannot create or release one. Writing them over HTTP is
therefore a separate program, from the same parts: strict head, request ids, logs, errors, Keystone. It needs few
replicas, and no access for callers of functions.
"""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from control.administrator import Administrators
from control.routes import ProjectRoutes
from control.usage import AdminUsageRoutes
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.microversions import MicroversionMiddleware
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes
from gateway.identity.credential import IdentityService
from gateway.identity.permissions import Permissions
from gateway.identity.validation_limiter import ValidationLimiter
from gateway.policy.policy import Policy
from gateway.server.clients import keystone_client
from gateway.server.keystone import build_keystone
from gateway.server.wiring import open_database
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from gateway.usage.answer import UsageReader
from tenancy.keystone_projects import Projects
from tenancy.repository import TenantRepository


def build_admin_app(
    settings: Settings, identity: IdentityService, tenants: TenantRepository, projects: Projects
) -> ASGIApp:
    """Builds the ASGI application.

    Args:
        settings: as for the gateway; those of functions and stores are not used.
        identity: the Keystone of the administrators, and our credential there.
        tenants: reads and writes Tenant records.
        projects: reads projects from Keystone.

    Raises:
        ValueError: the policy file cannot be used.
    """
    permissions = Permissions(Policy(settings.policy_file), settings)
    metrics, recorder = Metrics(), recorder_of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            recording(recorder),
            keystone_client(settings, identity) as http,
            open_database(settings) as database,
        ):
            administrators = Administrators(
                build_keystone(settings, identity, http),
                ValidationLimiter(
                    settings.token_validation_concurrency, wait_seconds=settings.keystone_timeout_seconds
                ),
                settings,
                permissions,
                auth_url=identity.auth_url,
            )
            app.state.projects = ProjectRoutes(administrators, tenants, projects)
            app.state.usage = AdminUsageRoutes(administrators, UsageReader(database, public_url=settings.public_url))
            yield

    app = Starlette(routes=_routes(settings, metrics), lifespan=lifespan)
    install_error_handlers(app)
    versioned = MicroversionMiddleware(app, settings.service_type)
    return RequestMiddleware(versioned, settings, metrics, recorder)


def _routes(settings: Settings, metrics: Metrics) -> list[Route]:
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file)

    async def collection(request: Request) -> Response:
        answer: Response = await request.app.state.projects.collection(request)
        return answer

    async def item(request: Request) -> Response:
        answer: Response = await request.app.state.projects.item(request)
        return answer

    async def usage(request: Request) -> Response:
        answer: Response = await request.app.state.usage.show(request)
        return answer

    return [
        Route("/v1/usage", usage, methods=["GET"]),
        Route("/v1/projects", collection, methods=["GET"]),
        Route("/v1/projects/{project}", item, methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]
