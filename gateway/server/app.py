"""The ASGI application: middleware, routes, and the package that serves each route."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.checksums.routes import check_default_algorithms
from gateway.http.context import context_of
from gateway.http.error_handlers import install_error_handlers
from gateway.http.metrics import Metrics
from gateway.http.microversions import MicroversionMiddleware
from gateway.http.middleware import RequestMiddleware
from gateway.http.routes import ServiceRoutes, no_problem
from gateway.http.static_document import StaticDocument
from gateway.http.strict_protocol import PROJECT_OF, ProjectOf
from gateway.identity.credential import IdentityService
from gateway.invoke.revision_stats import RevisionStats
from gateway.invoke.routes import METHODS
from gateway.invoke.target import PREFIX
from gateway.operations.checks import check_operations
from gateway.policy.policy import Policy
from gateway.server.clients import check_authorities
from gateway.server.info import info_document
from gateway.server.openapi import openapi_document
from gateway.server.wiring import Services, open_services
from gateway.settings import Settings
from gateway.telemetry.recording import recorder_of, recording
from gateway.usage.recorder import UsageRecorder
from tenancy.directory.protocol import TenantDirectory
from tenancy.directory.triggers import NoTriggers, TriggerDirectory


class AnyName(PathConvertor):
    """Matches the rest of a path including line feeds, which object names may have. Starlette's own stops at one."""

    regex = r"(?s:.*)"


register_url_convertor("name", AnyName())


def build_app(
    settings: Settings,
    identity: IdentityService,
    directory: TenantDirectory,
    triggers: TriggerDirectory | None = None,
) -> ASGIApp:
    """The gateway as an ASGI application.

    Args:
        settings: see `Settings`.
        identity: the Keystone of the callers, and our credential there.
        directory: the tenant directory.
        triggers: of tenants' functions; None: there are none.

    Raises:
        ValueError: the settings contradict each other, or the policy file cannot be used.
    """
    check_default_algorithms(settings.default_algorithms)
    check_authorities(settings)
    check_operations(settings)
    policy = Policy(settings.policy_file)
    metrics, recorder = Metrics(), recorder_of(settings)
    stats = RevisionStats(settings.function_metrics_revisions)
    metrics.registry.register(stats)
    usage = UsageRecorder(settings, metrics) if settings.database_url is not None else None

    def directory_age() -> float:
        age = directory.sync_age_seconds()
        return math.nan if age is None else age

    metrics.directory_age.set_function(directory_age)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, ProjectOf]]:
        loop = asyncio.get_running_loop()
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        async with (
            recording(recorder),
            open_services(
                settings,
                identity,
                directory,
                metrics,
                policy=policy,
                triggers=triggers or NoTriggers(),
                stats=stats,
                usage=usage,
            ) as services,
        ):
            app.state.services = services
            yield {PROJECT_OF: services.project_of}

    app = Starlette(
        routes=routes(
            settings,
            metrics,
            lambda: directory.sync_age_seconds() is not None,
            stats=stats,
            problem=usage.problem if usage is not None else no_problem,
            triggers=triggers is not None and identity.trustee is not None,
        ),
        lifespan=lifespan,
    )
    install_error_handlers(app)
    on_end = usage.record_end if usage is not None else None
    dispatcher = _Dispatcher(app, MicroversionMiddleware(app, settings.service_type))
    return RequestMiddleware(dispatcher, settings, metrics, recorder, websockets=(PREFIX,), on_end=on_end)


def routes(
    settings: Settings,
    metrics: Metrics,
    prepared: Callable[[], bool] = lambda: True,
    *,
    stats: RevisionStats | None = None,
    problem: Callable[[], str | None] = no_problem,
    triggers: bool = False,
) -> list[Route]:
    """All routes.

    Args:
        settings: of the gateway.
        metrics: what `/metrics` shows.
        prepared: whether the tenants have been read.
        stats: what `/metrics/functions/…` shows.
        problem: see `ServiceRoutes`.
        triggers: whether events can fire triggers.
    """
    service = ServiceRoutes(
        public_url=settings.public_url, disable_file=settings.disable_file, prepared=prepared, problem=problem
    )
    openapi = StaticDocument(openapi_document(settings.public_url), route="openapi")
    info = StaticDocument(info_document(settings, triggers=triggers), route="info")

    async def function_counts(request: Request) -> Response:
        context_of(request.scope).route = "metrics"
        counted = stats or RevisionStats(0)
        return JSONResponse(counted.document(str(request.path_params["namespace"])))

    async def by_query_or_many(request: Request) -> Response:
        services = services_of(request)
        many = request.method == "POST"
        return await (services.bulk.many(request) if many else services.checksums.by_query(request))

    operations = _to(lambda services: services.operations.many)
    operation = _to(lambda services: services.operations.one)
    result = _to(lambda services: services.operations.result)
    retry = _to(lambda services: services.operations.retry)
    return [
        # The busiest route comes first: the router tries them in order.
        Route("/v1/invoke/{rest:path}", Invoke(), methods=METHODS),
        Route("/", service.versions, methods=["GET"]),
        Route("/v1", service.versions, methods=["GET"]),
        Route("/v1/", service.versions, methods=["GET"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
        # For the functions API; like /metrics it has no route at the edge.
        Route("/metrics/functions/{namespace}", function_counts, methods=["GET"]),
        Route("/v1/openapi.json", openapi.show, methods=["GET"]),
        *([Route("/v1/info", info.show, methods=["GET"])] if settings.expose_info else []),
        Route("/checksums", by_query_or_many, methods=["GET"]),
        Route("/checksums/", by_query_or_many, methods=["GET"]),
        Route("/v1/checksums", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/{rest:name}", _to(lambda services: services.checksums.by_path), methods=["GET"]),
        Route("/v1/limits", _to(lambda services: services.limits.show), methods=["GET"]),
        Route("/v1/usage", _to(lambda services: services.usage.show), methods=["GET"]),
        Route("/v1/events", _to(lambda services: services.events.receive), methods=["POST"]),
        Route("/v1/operations", operations, methods=["GET"]),
        Route("/v1/operations/{operation}", operation, methods=["GET", "DELETE"]),
        Route("/v1/operations/{operation}/result", result, methods=["GET"]),
        Route("/v1/operations/{operation}/retry", retry, methods=["POST"]),
        Route("/v1/sweeps", _to(lambda services: services.sweeps.many), methods=["GET", "POST"]),
        Route("/v1/sweeps/{operation}", _to(lambda services: services.sweeps.one), methods=["GET"]),
        Route("/v1/callback-key", _to(lambda services: services.operations.callback_key), methods=["GET"]),
    ]


def _to(
    choose: Callable[[Services], Callable[[Request], Awaitable[Response]]],
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint of a component, which exists once the process has started."""

    async def endpoint(request: Request) -> Response:
        return await choose(services_of(request))(request)

    return endpoint


class _Dispatcher:
    """Passes invocations to their route at once, and all other requests through Starlette's layers and router."""

    def __init__(self, app: Starlette, others: ASGIApp) -> None:
        self._app = app
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"].startswith(PREFIX) and scope["method"] in METHODS:
            services: Services = self._app.state.services
            await services.invocations.answer(scope, receive, send)
        else:
            await self._others(scope, receive, send)


class Invoke:
    """The route of invocations for the router, which says which methods there are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services: Services = scope["app"].state.services
        await services.invocations.answer(scope, receive, send)


def services_of(request: Request) -> Services:
    """The services of the application that received the request."""
    services: Services = request.app.state.services
    return services
