"""The application on one screen: the layers around every request, the paths, and the room that each path leads to."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.checksums.routes import check_default_algorithms
from gateway.clients import check_authorities
from gateway.edge.context import context_of
from gateway.edge.head import HeadLimits
from gateway.edge.metrics import Metrics
from gateway.edge.middleware import Observed, RequestIds, StrictHead
from gateway.edge.refusals import answer_refusals
from gateway.edge.routes import ServiceRoutes
from gateway.edge.strict_protocol import PROJECT_OF, ProjectOf
from gateway.identity.credential import IdentityService
from gateway.invoke.routes import METHODS
from gateway.observe.recording import recorder_of, recording
from gateway.openapi import openapi_document
from gateway.rooms import Rooms, open_rooms
from gateway.settings import Settings
from tenancy.directory.protocol import TenantDirectory


class AnyName(PathConvertor):
    """All that is left of a path, line feeds included: names of objects are bytes. Starlette's own stops at one."""

    regex = r"(?s:.*)"


register_url_convertor("name", AnyName())


def build_app(settings: Settings, identity: IdentityService, directory: TenantDirectory) -> ASGIApp:
    """The gateway as an ASGI application.

    Args:
        settings: see `Settings`.
        identity: the Keystone that knows the callers, and our credential at it.
        directory: which projects are tenants.

    Raises:
        ValueError: the settings do not fit together.
    """
    check_default_algorithms(settings.default_algorithms)
    check_authorities(settings)
    metrics, recorder = Metrics(), recorder_of(settings)

    def directory_age() -> float:
        age = directory.sync_age_seconds()
        return math.nan if age is None else age

    metrics.directory_age.set_function(directory_age)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, ProjectOf]]:
        loop = asyncio.get_running_loop()
        metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        async with recording(recorder), open_rooms(settings, identity, directory, metrics) as rooms:
            app.state.rooms = rooms
            yield {PROJECT_OF: rooms.project_of}

    app = Starlette(
        routes=routes(settings, metrics, lambda: directory.sync_age_seconds() is not None), lifespan=lifespan
    )
    answer_refusals(app)
    limits = HeadLimits(max_bytes=settings.head_max_bytes, max_fields=settings.head_max_fields)
    return RequestIds(Observed(StrictHead(app, limits), metrics, recorder))


def routes(settings: Settings, metrics: Metrics, prepared: Callable[[], bool] = lambda: True) -> list[Route]:
    """Every path that is served. `prepared` says whether the tenants are known."""
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file, prepared=prepared)
    # Rendered once: who asks needs no token, and asks often if he means harm.
    document = JSONResponse(openapi_document(settings.public_url)).body

    async def openapi(request: Request) -> Response:
        context_of(request.scope).route = "openapi"
        return Response(document, media_type="application/json")

    async def by_path(request: Request) -> Response:
        return await rooms_of(request).checksums.by_path(request)

    async def by_query_or_many(request: Request) -> Response:
        rooms = rooms_of(request)
        many = request.method == "POST"
        return await (rooms.bulk.many(request) if many else rooms.checksums.by_query(request))

    async def events(request: Request) -> Response:
        return await rooms_of(request).events.receive(request)

    async def limits(request: Request) -> Response:
        return await rooms_of(request).limits.show(request)

    return [
        # What is called most comes first: the router looks at one after the other.
        Route("/v1/invoke/{rest:path}", Invoke(), methods=METHODS),
        Route("/", service.versions, methods=["GET"]),
        Route("/v1", service.versions, methods=["GET"]),
        Route("/v1/", service.versions, methods=["GET"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", metrics.exposition, methods=["GET"]),
        Route("/v1/openapi.json", openapi, methods=["GET"]),
        Route("/checksums", by_query_or_many, methods=["GET"]),
        Route("/checksums/", by_query_or_many, methods=["GET"]),
        Route("/v1/checksums", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/{rest:name}", by_path, methods=["GET"]),
        Route("/v1/limits", limits, methods=["GET"]),
        Route("/v1/events", events, methods=["POST"]),
    ]


class Invoke:
    """An application of its own, not a function: its answer is a stream that nothing between has to look at."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rooms: Rooms = scope["app"].state.rooms
        await rooms.invocations.answer(scope, receive, send)


def rooms_of(request: Request) -> Rooms:
    """The rooms of the application that the request came to."""
    rooms: Rooms = request.app.state.rooms
    return rooms
