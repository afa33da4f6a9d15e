"""The administrators' application: a process of its own, with a service account of its own.

The gateway may read Tenants and nothing else, so that whoever takes it over cannot make or free a tenant. Writing
them over HTTP is therefore not another route of the gateway but another program, from the same parts: the strict
head, the ids, the log, the errors, Keystone. It needs few replicas, and no way in for those who call functions.
"""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.clients import keystone_client
from gateway.edge.head import HeadLimits
from gateway.edge.metrics import Metrics
from gateway.edge.middleware import Observed, RequestIds, StrictHead
from gateway.edge.refusals import answer_refusals
from gateway.edge.routes import ServiceRoutes
from gateway.identity.credential import IdentityService
from gateway.identity.turns import Turns
from gateway.keystone import build_keystone, token_form
from gateway.observe.recording import recorder_of, recording
from gateway.projects.administrator import AdministratorRules, Administrators
from gateway.projects.routes import ProjectRoutes
from gateway.settings import Settings
from tenancy.keystone_projects import Projects
from tenancy.repository import TenantRepository


def build_admin_app(
    settings: Settings, identity: IdentityService, tenants: TenantRepository, projects: Projects
) -> ASGIApp:
    """The application as ASGI.

    Args:
        settings: the gateway's own; those of functions and stores are not used.
        identity: the Keystone that knows administrators, and our credential at it.
        tenants: the records, to be read and written.
        projects: the projects of Keystone.
    """
    metrics, recorder = Metrics(), recorder_of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with recording(recorder), keystone_client(settings, identity) as http:
            administrators = Administrators(
                build_keystone(settings, identity, http),
                Turns(settings.token_validations, wait_seconds=settings.keystone_timeout_seconds),
                token_form(settings),
                AdministratorRules(
                    role=settings.admin_role,
                    service_type=settings.service_type,
                    projects=frozenset(settings.admin_projects),
                ),
                www_authenticate_uri=settings.www_authenticate_uri or identity.auth_url,
            )
            app.state.projects = ProjectRoutes(administrators, tenants, projects)
            yield

    app = Starlette(routes=_routes(settings, metrics), lifespan=lifespan)
    answer_refusals(app)
    limits = HeadLimits(max_bytes=settings.head_max_bytes, max_fields=settings.head_max_fields)
    return RequestIds(Observed(StrictHead(app, limits), metrics, recorder))


def _routes(settings: Settings, metrics: Metrics) -> list[Route]:
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file)

    async def collection(request: Request) -> Response:
        answer: Response = await request.app.state.projects.collection(request)
        return answer

    async def item(request: Request) -> Response:
        answer: Response = await request.app.state.projects.item(request)
        return answer

    return [
        Route("/v1/projects", collection, methods=["GET"]),
        Route("/v1/projects/{project}", item, methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]
