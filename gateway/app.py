"""The application: which rooms there are and how they are joined."""

import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.budgets.concurrency import ComputationBudget
from gateway.budgets.courtesy import Courtesy
from gateway.budgets.waiting import WaitingBudget
from gateway.checksums.bulk import BulkRules
from gateway.checksums.bulk_routes import BulkRoutes
from gateway.checksums.flow import ChecksumFlow, Places
from gateway.checksums.function import ChecksumsFunction
from gateway.checksums.known import KnownDigests
from gateway.checksums.routes import ChecksumRoutes, check_default_algorithms
from gateway.edge.context import context_of
from gateway.edge.head import HeadLimits
from gateway.edge.metrics import Metrics
from gateway.edge.middleware import Observed, RequestIds, StrictHead, route_error
from gateway.edge.routes import ServiceRoutes
from gateway.errors import GatewayError, Kind, error_response
from gateway.events.flow import EventFlow
from gateway.events.routes import EventRoutes
from gateway.identity.authenticate import Authenticator, IdentityRules
from gateway.identity.cache import CacheLimits, TokenCache
from gateway.identity.credential import IdentityService
from gateway.identity.keystone import Keystone
from gateway.invoke.exchange import FunctionClient, Patience
from gateway.invoke.proxy import Proxy
from gateway.invoke.routes import METHODS, InvokeRoutes
from gateway.invoke.trouble import Troubles
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectStore
from gateway.objects.s3 import Presigner, S3Rules
from gateway.objects.s3_store import S3Store
from gateway.objects.swift import SwiftRules, SwiftStore
from gateway.openapi import openapi_document
from gateway.settings import Settings
from tenancy.directory import TenantDirectory

USER_AGENT = "osfaas-gateway"


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
    metrics = Metrics()

    def directory_age() -> float:
        age = directory.contact_age_seconds()
        return math.nan if age is None else age

    metrics.directory_age.set_function(directory_age)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_clients(settings, identity) as (http, keystone_http):
            shared = build_shared(settings, identity, metrics, http=http, keystone_http=keystone_http)
            flow = build_flow(settings, identity, directory, metrics, shared, http=http, keystone_http=keystone_http)
            app.state.checksums = ChecksumRoutes(flow, default_algorithms=settings.default_algorithms)
            app.state.bulk = BulkRoutes(flow, bulk_rules(settings))
            app.state.events = EventRoutes(
                flow, EventFlow(flow, entries=settings.event_memory_entries), bulk_rules(settings), metrics
            )
            app.state.invocations = build_invocations(settings, directory, shared)
            yield

    app = Starlette(
        routes=routes(settings, metrics, lambda: directory.contact_age_seconds() is not None), lifespan=lifespan
    )
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, route_refused)
    app.add_exception_handler(Exception, crashed)
    limits = HeadLimits(settings.head_max_bytes, settings.head_max_fields)
    return RequestIds(Observed(StrictHead(app, limits), metrics))


def routes(settings: Settings, metrics: Metrics, prepared: Callable[[], bool] = lambda: True) -> list[Route]:
    """Every path that is served. `prepared` says whether the tenants are known."""
    service = ServiceRoutes(public_url=settings.public_url, disable_file=settings.disable_file, prepared=prepared)
    document = openapi_document(settings.public_url)

    async def openapi(request: Request) -> Response:
        context_of(request.scope).route = "openapi"
        return JSONResponse(document)

    async def by_path(request: Request) -> Response:
        answer: Response = await request.app.state.checksums.by_path(request)
        return answer

    async def by_query_or_many(request: Request) -> Response:
        rooms = request.app.state
        many = request.method == "POST"
        answer: Response = await (rooms.bulk.many(request) if many else rooms.checksums.by_query(request))
        return answer

    async def events(request: Request) -> Response:
        answer: Response = await request.app.state.events.receive(request)
        return answer

    async def invoke(request: Request) -> Response:
        answer: Response = await request.app.state.invocations.invoke(request)
        return answer

    def exposition(request: Request) -> Response:
        context_of(request.scope).route = "metrics"
        return metrics.exposition(request)

    return [
        Route("/", service.versions, methods=["GET"]),
        Route("/v1", service.versions, methods=["GET"]),
        Route("/v1/", service.versions, methods=["GET"]),
        Route("/healthcheck", service.healthcheck, methods=["GET"]),
        Route("/readyz", service.readiness, methods=["GET"]),
        Route("/metrics", exposition, methods=["GET"]),
        Route("/v1/openapi.json", openapi, methods=["GET"]),
        Route("/checksums", by_query_or_many, methods=["GET"]),
        Route("/checksums/", by_query_or_many, methods=["GET"]),
        Route("/v1/checksums", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/", by_query_or_many, methods=["GET", "POST"]),
        Route("/v1/checksums/{rest:path}", by_path, methods=["GET"]),
        Route("/v1/events", events, methods=["POST"]),
        Route("/v1/invoke/{rest:path}", invoke, methods=METHODS),
    ]


@contextlib.asynccontextmanager
async def open_clients(
    settings: Settings, identity: IdentityService
) -> AsyncIterator[tuple[aiohttp.ClientSession, httpx.AsyncClient]]:
    """One client for functions and stores, one for Keystone; neither follows redirects or keeps cookies."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=identity.verify)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            # A Content-Type of the client's own would become the object's when metadata is written.
            skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type"],
            read_bufsize=1 << 18,
        ) as http,
        httpx.AsyncClient(
            timeout=settings.keystone_timeout_seconds,
            verify=identity.verify,
            headers={"User-Agent": USER_AGENT},
            trust_env=False,
        ) as keystone_http,
    ):
        yield http, keystone_http


@dataclass(frozen=True, slots=True)
class Shared:
    """What checksums and invocations have in common: who calls, how much at once, and the way to functions."""

    authenticator: Authenticator
    functions: FunctionClient
    budget: ComputationBudget


def build_shared(
    settings: Settings,
    identity: IdentityService,
    metrics: Metrics,
    *,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
) -> Shared:
    """One of each for the process."""
    patience = Patience(
        settings.function_connect_seconds,
        settings.function_silence_seconds,
        settings.function_timeout_seconds,
        settings.function_trouble_seconds,
    )
    return Shared(
        authenticator=build_authenticator(settings, identity, metrics, keystone_http),
        functions=FunctionClient(http, patience),
        budget=ComputationBudget(settings.project_computations),
    )


def build_invocations(settings: Settings, directory: TenantDirectory, shared: Shared) -> InvokeRoutes:
    """The room that passes calls on to functions."""
    return InvokeRoutes(
        identity=shared.authenticator,
        directory=directory,
        proxy=Proxy(shared.functions, Troubles(directory)),
        budget=shared.budget,
        body_max_bytes=settings.invoke_body_max_bytes,
    )


def build_flow(
    settings: Settings,
    identity: IdentityService,
    directory: TenantDirectory,
    metrics: Metrics,
    shared: Shared,
    *,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
) -> ChecksumFlow:
    """The rooms of a call, joined."""
    store = build_store(settings, identity, http, keystone_http)
    return ChecksumFlow(
        identity=shared.authenticator,
        directory=directory,
        store=store,
        known=KnownDigests(settings.digest_cache_entries, trust_foreign=settings.trust_foreign_digests),
        function=ChecksumsFunction(shared.functions, store),
        places=Places(
            users=shared.budget,
            services=WaitingBudget(settings.service_computations, settings.service_queue),
            courtesy=Courtesy(),
            answer_seconds=settings.answer_seconds,
        ),
        metrics=metrics,
    )


def bulk_rules(settings: Settings) -> BulkRules:
    """Bounds of a request about many objects."""
    return BulkRules(
        settings.default_algorithms, settings.body_max_bytes, settings.bulk_max_objects, settings.bulk_at_once
    )


def build_authenticator(
    settings: Settings, identity: IdentityService, metrics: Metrics, http: httpx.AsyncClient
) -> Authenticator:
    """The room that knows callers."""
    keystone = Keystone(http, auth_url=identity.auth_url, credential=identity.credential)
    cache = TokenCache(
        keystone.validate,
        CacheLimits(settings.token_cache_entries, settings.token_cache_seconds, settings.token_refusal_cache_seconds),
        seen=lambda source, verdict: metrics.tokens.labels(source, verdict).inc(),
    )
    rules = IdentityRules(
        service_type=settings.service_type,
        call_role=settings.call_role,
        www_authenticate_uri=settings.www_authenticate_uri or identity.auth_url,
        fernet_only=settings.token_format == "fernet",  # noqa: S105 - a format, not a token
        token_max_age_seconds=settings.token_max_age_seconds,
        clock_skew_seconds=settings.clock_skew_seconds,
        service_role=settings.service_role,
        service_projects=frozenset(settings.service_projects),
    )
    return Authenticator(cache, rules)


def build_store(
    settings: Settings,
    identity: IdentityService,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
) -> ObjectStore:
    """The room that knows objects."""
    presigner = Presigner(
        keystone_http,
        auth_url=identity.auth_url,
        rules=S3Rules(
            interface=settings.interface,
            region=settings.region_name,
            endpoint=settings.s3_endpoint,
            signing_region=settings.s3_region,
            capability_seconds=settings.capability_seconds,
            credential_entries=settings.token_cache_entries,
            credential_seconds=settings.token_cache_seconds,
        ),
    )
    client = StoreClient(http, timeout_seconds=settings.store_timeout_seconds)
    if settings.object_store == "s3":
        return S3Store(client, presigner, settings.capabilities)
    return SwiftStore(
        client,
        SwiftRules(
            interface=settings.interface,
            region=settings.region_name,
            endpoint=settings.swift_endpoint,
            capabilities=settings.capabilities,
            capability_seconds=settings.capability_seconds,
            tempurl_digest=settings.tempurl_digest,
            tempurl_set_key=settings.tempurl_set_key,
        ),
        presigner.presigned_get,
    )


async def route_refused(request: Request, error: Exception) -> Response:
    """What the router refuses, in the form of our errors."""
    assert isinstance(error, HTTPException)
    context = context_of(request.scope)
    refusal = route_error(request.scope, error.status_code)
    refusal.headers |= {name: value for name, value in (error.headers or {}).items() if name == "Allow"}
    context.facts["error"] = refusal.kind.code
    return error_response(refusal, request_id=context.request_id)


async def crashed(request: Request, _error: Exception) -> Response:
    """What nobody foresaw; the traceback is in the log."""
    context = context_of(request.scope)
    context.facts["error"] = Kind.INTERNAL.code
    return error_response(GatewayError(Kind.INTERNAL), request_id=context.request_id)
