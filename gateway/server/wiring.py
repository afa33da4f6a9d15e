"""Wiring: the components that answer requests, each made from the settings and joined to those that it needs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import httpx

from gateway.calls.admission import Admission
from gateway.checksums.bulk import BulkRules
from gateway.checksums.bulk_routes import BulkRoutes
from gateway.checksums.known import KnownDigests
from gateway.checksums.list_slots import ListLimits, ListSlots
from gateway.checksums.routes import ChecksumRoutes
from gateway.checksums.service import Checksums
from gateway.compute.object_function import ObjectFunction
from gateway.compute.runner import Runner
from gateway.compute.slots import ComputeSlots
from gateway.events.flow import EventFlow
from gateway.events.routes import EventRoutes
from gateway.http.metrics import Metrics, counter_of
from gateway.http.strict_protocol import ProjectOf
from gateway.identity.authenticate import Authenticator, IdentityRules
from gateway.identity.cache import CacheLimits, TokenCache
from gateway.identity.credential import IdentityService
from gateway.invoke.proxy import Proxy
from gateway.invoke.routes import InvokeRoutes
from gateway.limits.backend import InMemoryLimitBackend, LimitBackend
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.fair_queue import QueueLimits
from gateway.limits.limiter import LimitRules, ProjectLimiter
from gateway.limits.service_queue import ServiceCallerQueue
from gateway.limits_api.routes import LimitRoutes
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.circuit_breaking import CircuitBreakingStore
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectStore
from gateway.objects.s3 import Presigner, S3Rules
from gateway.objects.s3_store import S3Store
from gateway.objects.swift import SwiftRules, SwiftStore
from gateway.server.clients import open_clients, store_origins
from gateway.server.keystone import build_keystone, circuit_rules, token_form
from gateway.settings import Settings
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionClient
from policies.model import Limits
from tenancy.directory.protocol import TenantDirectory


@dataclass(frozen=True, slots=True)
class Services:
    """The services behind the routes, and `project_of`: the project that a new request is queued for."""

    checksums: ChecksumRoutes
    bulk: BulkRoutes
    events: EventRoutes
    invocations: InvokeRoutes
    limits: LimitRoutes
    project_of: ProjectOf


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, identity: IdentityService, directory: TenantDirectory, metrics: Metrics
) -> AsyncIterator[Services]:
    """The components, for as long as the clients that they share are open."""
    allowlist = store_origins(settings)
    async with (
        open_clients(settings, identity, allowlist) as (functions, store_http, keystone_http),
        open_limit_backend(settings, metrics) as backend,
    ):
        limiter = ProjectLimiter(backend, limit_rules(settings), metrics)
        authenticator = build_authenticator(settings, identity, metrics, keystone_http)
        admission = Admission(authenticator, directory, limiter)
        store = build_store(settings, identity, store_http, keystone_http, allowlist)
        checksums = Checksums(
            admission=admission,
            store=store,
            known=KnownDigests(settings.digest_cache_entries, trust_foreign=settings.trust_foreign_digests),
            runner=build_runner(settings, directory, metrics, limiter=limiter, functions=functions, store=store),
            metrics=metrics,
        )
        rules, slots = bulk_rules(settings), ListSlots(list_limits(settings))
        events = EventFlow(checksums, entries=settings.event_memory_entries)
        yield Services(
            checksums=ChecksumRoutes(admission, checksums, default_algorithms=settings.default_algorithms),
            bulk=BulkRoutes(admission, checksums, rules, slots),
            events=EventRoutes(admission, events, rules=rules, slots=slots, metrics=metrics),
            invocations=InvokeRoutes(
                admission=admission,
                proxy=Proxy(functions, FunctionDiagnostics(directory)),
                limiter=limiter,
                body_max_bytes=settings.invoke_body_max_bytes,
            ),
            limits=LimitRoutes(admission, limiter),
            project_of=authenticator.project_of,
        )


@contextlib.asynccontextmanager
async def open_limit_backend(settings: Settings, metrics: Metrics) -> AsyncIterator[LimitBackend]:
    """The limit backend: Redis, if the settings name one."""
    if settings.budget_store_url is None:
        yield InMemoryLimitBackend()
        return
    # Imported only if limits are shared.
    from gateway.limits.redis_backend import open_redis_backend  # noqa: PLC0415

    url, timeout_seconds = settings.budget_store_url.get_secret_value(), settings.budget_store_timeout_seconds
    async with open_redis_backend(url, metrics, timeout_seconds=timeout_seconds) as backend:
        yield backend


def limit_rules(settings: Settings) -> LimitRules:
    """Configuration of the limiter."""
    return LimitRules(
        defaults=Limits(
            concurrent_calls=settings.project_computations,
            requests_per_second=settings.project_requests_per_second,
            bytes_per_second=settings.project_bytes_per_second,
        ),
        burst_seconds=settings.budget_burst_seconds,
        debt_seconds=settings.budget_debt_seconds,
        users=QueueLimits(size=settings.budget_queue, seconds=settings.budget_wait_seconds),
        # A storage federation takes a rejection for a failed transfer, so it waits as long as for an answer.
        services=QueueLimits(size=settings.service_queue, seconds=settings.answer_seconds),
    )


def build_runner(
    settings: Settings,
    directory: TenantDirectory,
    metrics: Metrics,
    *,
    limiter: ProjectLimiter,
    functions: FunctionClient,
    store: ObjectStore,
) -> Runner:
    """Runs computations over objects in the functions of tenants."""
    return Runner(
        store=store,
        function=ObjectFunction(functions, store),
        slots=ComputeSlots(
            limiter=limiter,
            services=ServiceCallerQueue(settings.service_computations, settings.service_queue),
            throttle=BackgroundThrottle(),
            answer_seconds=settings.answer_seconds,
        ),
        diagnostics=FunctionDiagnostics(directory),
        metrics=metrics,
    )


def bulk_rules(settings: Settings) -> BulkRules:
    """Limits of a bulk request."""
    return BulkRules(
        default_algorithms=settings.default_algorithms,
        max_bytes=settings.body_max_bytes,
        max_objects=settings.bulk_max_objects,
        concurrency=settings.bulk_at_once,
    )


def list_limits(settings: Settings) -> ListLimits:
    """Limits of concurrent bulk requests."""
    return ListLimits(
        body_bytes=settings.body_max_bytes,
        project_bytes=settings.project_list_bytes,
        process_bytes=settings.list_bytes,
    )


def build_authenticator(
    settings: Settings, identity: IdentityService, metrics: Metrics, http: httpx.AsyncClient
) -> Authenticator:
    """Builds the service that authenticates callers."""
    cache = TokenCache(
        build_keystone(settings, identity, http).validate,
        CacheLimits(
            entries=settings.token_cache_entries,
            seconds=settings.token_cache_seconds,
            refusal_seconds=settings.token_refusal_cache_seconds,
            outage_seconds=settings.token_outage_seconds,
            max_concurrent_validations=settings.token_validations,
            validation_queue_timeout_seconds=settings.keystone_timeout_seconds,
        ),
        on_lookup=lambda source, verdict: counter_of(metrics.tokens, source, verdict).inc(),
    )
    rules = IdentityRules(
        service_type=settings.service_type,
        call_role=settings.call_role,
        www_authenticate_uri=settings.www_authenticate_uri or identity.auth_url,
        token_form=token_form(settings),
        service_role=settings.service_role,
        service_projects=frozenset(settings.service_projects),
        read_role=settings.read_role,
    )
    return Authenticator(cache, rules)


def build_store(
    settings: Settings,
    identity: IdentityService,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
    allowlist: StoreAllowlist,
) -> ObjectStore:
    """Builds the object store driver."""
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
        allowlist=allowlist,
    )
    client = StoreClient(http, timeout_seconds=settings.store_timeout_seconds, allowlist=allowlist)
    store: ObjectStore
    if settings.object_store == "s3":
        store = S3Store(client, presigner, settings.capabilities)
    else:
        store = build_swift(settings, client, presigner)
    return CircuitBreakingStore(store, circuit_rules(settings), retry_seconds=settings.retry_seconds)


def build_swift(settings: Settings, client: StoreClient, presigner: Presigner) -> SwiftStore:
    """Builds the Swift driver."""
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
