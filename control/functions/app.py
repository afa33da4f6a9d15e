"""The application of `/v1/functions`: middleware, routes and wiring."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from control.functions.log_follow import LogSource
from control.functions.metrics import GatewayReplicas
from control.functions.openapi import openapi_document
from control.functions.responder import Responder
from control.functions.routes import FunctionRoutes
from control.functions.secrets import SecretRoutes
from control.functions.source import SourceUploads
from control.functions.trigger_routes import TriggerRoutes
from control.functions.trigger_trusts import TriggerTrusts
from gateway.calls.admission import Admission
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.microversions import MicroversionMiddleware
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes
from gateway.http.static_document import StaticDocument
from gateway.http.strict_protocol import PROJECT_OF, ProjectOf
from gateway.identity.credential import IdentityService
from gateway.identity.trusts import Trusts
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.unified import ProjectLimits
from gateway.policy.policy import Policy
from gateway.server.clients import open_clients, store_origins
from gateway.server.wiring import build_authenticator, build_store, open_limit_backend, open_project_limits
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from policies.model import Platform
from tenancy.directory.protocol import DomainDirectory, TenantDirectory
from tenancy.function_repository import FunctionRepository
from tenancy.repository import TenantRepository
from tenancy.secret_repository import SecretRepository
from tenancy.trigger_repository import TriggerRepository

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class FunctionsApi:
    """What the application works on.

    Attributes:
        directory: tenants by project, from memory: whether a caller's project may do anything.
        domains: tenants by domain, from memory.
        tenants: reads a tenant's specification.
        functions: reads and writes functions.
        secrets: lists and writes secrets of functions.
        logs: follows the output of functions.
        platform: the operator's rules.
        triggers: reads and writes triggers.
    """

    directory: TenantDirectory
    domains: DomainDirectory
    tenants: TenantRepository
    functions: FunctionRepository
    secrets: SecretRepository
    logs: LogSource
    platform: Platform
    triggers: TriggerRepository


@dataclass(frozen=True, slots=True)
class Callers:
    """What is done with the tokens of callers.

    Attributes:
        admission: admits their requests.
        trusts: makes and ends their trusts.
        uploads: stores their archives.
        limits: of their projects.
    """

    admission: Admission
    trusts: TriggerTrusts
    uploads: SourceUploads
    limits: ProjectLimits


def build_functions_app(settings: Settings, identity: IdentityService, api: FunctionsApi) -> ASGIApp:
    """Builds the ASGI application.

    Args:
        settings: as for the gateway; those of functions and stores are not used.
        identity: the Keystone of the callers, and our credential there.
        api: what it works on.

    Raises:
        ValueError: the policy file cannot be used.
    """
    policy = Policy(settings.policy_file)
    metrics, recorder = Metrics(), recorder_of(settings)
    allowlist = store_origins(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, ProjectOf]]:
        async with (
            recording(recorder),
            open_clients(settings, identity, allowlist) as (_, store_http, http),
            open_limit_backend(settings, metrics) as backend,
            open_project_limits(settings, identity, http, metrics) as project_limits,
        ):
            authenticator = build_authenticator(settings, identity, metrics, http, policy)
            limiter = ProjectLimiter(backend, settings, metrics, project_limits)
            admission = Admission(authenticator, api.directory, limiter)
            store = build_store(settings, identity, store_http, http, allowlist)
            ca_file = settings.registry_ca_file
            uploads = SourceUploads(
                admission,
                api.platform.builds,
                store,
                backend,
                logins_per_minute=settings.registry_logins_per_minute,
                verify=str(ca_file) if ca_file else True,
            )
            trusts = TriggerTrusts(identity, Trusts(http, identity.auth_url), settings)
            add_routes(app, api, Callers(admission, trusts, uploads, project_limits), settings)
            yield {PROJECT_OF: authenticator.project_of}

    app = Starlette(routes=_routes(settings, metrics, api.directory), lifespan=lifespan)
    install_error_handlers(app)
    versioned = MicroversionMiddleware(app, settings.service_type)
    return RequestMiddleware(versioned, settings, metrics, recorder)


def add_routes(app: Starlette, api: FunctionsApi, callers: Callers, settings: Settings) -> None:
    """Gives the application what its routes call."""
    responder, public_url = Responder(callers.admission, api.tenants, callers.limits, api.domains), settings.public_url
    app.state.triggers = triggers = TriggerRoutes(
        responder=responder, functions=api.functions, triggers=api.triggers, trusts=callers.trusts, settings=settings
    )
    app.state.functions = FunctionRoutes(
        responder=responder,
        functions=api.functions,
        triggers=triggers,
        secrets=api.secrets,
        logs=api.logs,
        gateways=GatewayReplicas(settings.gateway_replicas_url),
        recheck_seconds=settings.stream_recheck_seconds,
        platform=api.platform,
        uploads=callers.uploads,
        public_url=public_url,
    )
    app.state.secrets = SecretRoutes(responder, api.secrets, api.functions, public_url=public_url)


def _routes(settings: Settings, metrics: Metrics, directory: TenantDirectory) -> list[Route]:
    service = ServiceRoutes(
        public_url=settings.public_url,
        disable_file=settings.disable_file,
        prepared=lambda: directory.sync_age_seconds() is not None,
    )
    openapi = StaticDocument(openapi_document(settings.public_url), route="openapi")
    return [
        Route("/v1/secrets", _of(lambda state: state.secrets.collection), methods=["GET"]),
        Route("/v1/secrets/{name}", _of(lambda state: state.secrets.item), methods=["GET", "PUT", "DELETE"]),
        Route("/v1/functions", _of(lambda state: state.functions.collection), methods=["GET"]),
        Route("/v1/functions/openapi.json", openapi.show, methods=["GET"]),
        Route(
            "/v1/functions/{name}", _of(lambda state: state.functions.item), methods=["GET", "PUT", "PATCH", "DELETE"]
        ),
        Route("/v1/functions/{name}/source", _of(lambda state: state.functions.source), methods=["PUT"]),
        Route("/v1/functions/{name}/build-logs", _of(lambda state: state.functions.build_logs), methods=["GET"]),
        Route("/v1/functions/{name}/revisions", _of(lambda state: state.functions.revisions), methods=["GET"]),
        Route("/v1/functions/{name}/logs", _of(lambda state: state.functions.logs), methods=["GET"]),
        Route("/v1/functions/{name}/metrics", _of(lambda state: state.functions.metrics), methods=["GET"]),
        Route("/v1/functions/{name}/triggers", _of(lambda state: state.triggers.collection), methods=["GET"]),
        Route(
            "/v1/functions/{name}/triggers/{trigger}",
            _of(lambda state: state.triggers.item),
            methods=["GET", "PUT", "DELETE"],
        ),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
    ]


def _of(choose: Callable[[State], Endpoint]) -> Endpoint:
    """An endpoint of a component that exists once the process has started."""

    async def endpoint(request: Request) -> Response:
        state: State = request.app.state
        return await choose(state)(request)

    return endpoint
