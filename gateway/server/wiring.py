"""Wiring: the components that answer requests, each made from the settings and joined to those that it needs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import httpx

from gateway.calls.admission import Admission
from gateway.checksums.bulk_routes import BulkRoutes
from gateway.checksums.content_budget import ContentBudget
from gateway.checksums.known import KnownDigests
from gateway.checksums.list_slots import ListSlots
from gateway.checksums.routes import ChecksumRoutes
from gateway.checksums.service import Checksums
from gateway.checksums.small_objects import SmallObjects
from gateway.compute.object_binder import ObjectBinder
from gateway.compute.object_function import ObjectFunction
from gateway.compute.runner import Runner
from gateway.compute.slots import ComputeSlots
from gateway.events.flow import EventFlow
from gateway.events.routes import EventRoutes
from gateway.http.metrics import Metrics, counter_of
from gateway.http.strict_protocol import ProjectOf
from gateway.identity.authenticate import Authenticator
from gateway.identity.cache import TokenCache
from gateway.identity.credential import IdentityService
from gateway.identity.permissions import Permissions
from gateway.identity.trusts import Trusts, TrustTokens, WorkerUser
from gateway.invoke.objects import ObjectInvocations
from gateway.invoke.proxy import Proxy
from gateway.invoke.revision_stats import RevisionStats
from gateway.invoke.routes import InvokeRoutes
from gateway.limits.backend import InMemoryLimitBackend, LimitBackend
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.service_queue import ServiceCallerQueue
from gateway.limits.unified import LimitsReader, ProjectLimits
from gateway.limits_api.routes import LimitRoutes
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.circuit_breaking import CircuitBreakingStore
from gateway.objects.containers import SwiftContainers
from gateway.objects.drivers import DRIVERS, DriverParts
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectStore
from gateway.objects.s3 import Presigner
from gateway.operations.acceptance import AsyncCalls, Durable
from gateway.operations.delegation import Delegations
from gateway.operations.long_requests import LongRequests
from gateway.operations.objects import OperationObjects
from gateway.operations.results import Results
from gateway.operations.routes import OperationRoutes
from gateway.operations.service import Operations
from gateway.policy.policy import Policy
from gateway.server.clients import open_clients, store_origins
from gateway.server.keystone import build_keystone, circuit_rules
from gateway.settings import Settings
from gateway.sweeps.routes import SweepRoutes
from gateway.triggers.events import EventTriggers
from gateway.triggers.firing import TriggerFiring
from gateway.triggers.reports import TriggerReports
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import FunctionClient
from gateway.usage.answer import UsageReader
from gateway.usage.recorder import UsageRecorder
from gateway.usage.routes import UsageRoutes
from operations.store.database import Database
from tenancy.directory.protocol import TenantDirectory
from tenancy.directory.triggers import TriggerDirectory


@dataclass(frozen=True, slots=True)
class Services:
    """The services behind the routes, and `project_of`: the project that a new request is queued for."""

    checksums: ChecksumRoutes
    bulk: BulkRoutes
    events: EventRoutes
    invocations: InvokeRoutes
    limits: LimitRoutes
    usage: UsageRoutes
    operations: OperationRoutes
    sweeps: SweepRoutes
    project_of: ProjectOf


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings,
    identity: IdentityService,
    directory: TenantDirectory,
    metrics: Metrics,
    *,
    policy: Policy,
    triggers: TriggerDirectory,
    stats: RevisionStats | None = None,
    usage: UsageRecorder | None = None,
) -> AsyncIterator[Services]:
    """The components, for as long as the clients that they share are open."""
    allowlist = store_origins(settings)
    async with (
        open_clients(settings, identity, allowlist) as (functions, store_http, keystone_http),
        open_limit_backend(settings, metrics) as backend,
        open_project_limits(settings, identity, keystone_http, metrics) as project_limits,
        open_database(settings) as database,
        recording_usage(usage, database),
    ):
        limiter = ProjectLimiter(backend, settings, metrics, project_limits)
        authenticator = build_authenticator(settings, identity, metrics, keystone_http, policy)
        worker = WorkerUser(identity.credential, settings.operation_trustee_id)
        admission = Admission(authenticator, directory, limiter, worker=worker)
        store = build_store(settings, identity, store_http, keystone_http, allowlist)
        runner = build_runner(settings, directory, metrics, limiter=limiter, functions=functions, store=store)
        containers = SwiftContainers(
            StoreClient(store_http, timeout_seconds=settings.store_timeout_seconds, allowlist=allowlist), settings
        )
        trusts = Trusts(keystone_http, identity.auth_url)
        durable = build_durable(
            settings, database, trusts, worker, admission=admission, limiter=limiter, containers=containers
        )
        asynchronous = AsyncCalls(durable, body_max_bytes=settings.operation_body_max_bytes)
        checksums = Checksums(
            admission=admission,
            store=store,
            known=KnownDigests(settings.digest_cache_entries, trust_foreign=settings.trust_foreign_digests),
            runner=runner,
            metrics=metrics,
        )
        small = SmallObjects(
            checksums=checksums,
            store=store,
            runner=runner,
            limiter=limiter,
            max_bytes=settings.bulk_read_max_bytes,
            budget=ContentBudget(settings.bulk_read_process_bytes // 2),
            lines=ContentBudget(settings.bulk_read_process_bytes // 2),
        )
        proxy = Proxy(
            functions,
            FunctionDiagnostics(directory),
            recheck=admission.recheck,
            recheck_seconds=settings.stream_recheck_seconds,
            stats=stats,
        )
        binder = ObjectBinder(admission, store)
        slots = ListSlots(settings)
        events = EventFlow(checksums, entries=settings.event_cache_entries)
        invocations = InvokeRoutes(
            admission=admission,
            proxy=proxy,
            limiter=limiter,
            objects=ObjectInvocations(binder=binder, proxy=proxy, limiter=limiter, most=settings.invoke_max_objects),
            body_max_bytes=settings.invoke_body_max_bytes,
            asynchronous=asynchronous,
        )
        firing = TriggerFiring(
            directory=triggers,
            tokens=TrustTokens(identity.trustee, settings),
            admission=admission,
            store=store,
            invocations=invocations,
            entries=settings.event_cache_entries,
        )
        reports = TriggerReports(keystone_http, identity.credential, settings.trigger_report_url)
        async with reports.sending():
            yield Services(
                checksums=ChecksumRoutes(
                    admission, checksums, default_algorithms=settings.default_algorithms, asynchronous=asynchronous
                ),
                bulk=BulkRoutes(admission, checksums, small, settings, slots, asynchronous=asynchronous),
                events=EventRoutes(
                    admission,
                    events,
                    EventTriggers(firing, reports, metrics),
                    settings=settings,
                    slots=slots,
                    metrics=metrics,
                ),
                invocations=invocations,
                limits=LimitRoutes(admission, limiter, sizes_of(settings, durable)),
                usage=UsageRoutes(admission, limiter, UsageReader(database, public_url=settings.public_url)),
                operations=OperationRoutes(admission, durable, settings),
                sweeps=SweepRoutes(
                    admission,
                    None if durable is None else durable.operations,
                    checksums=checksums,
                    store=store,
                    containers=containers,
                    settings=settings,
                ),
                project_of=authenticator.project_of,
            )


@contextlib.asynccontextmanager
async def open_limit_backend(settings: Settings, metrics: Metrics) -> AsyncIterator[LimitBackend]:
    """The limit backend: Redis, if the settings name one."""
    if settings.limit_store_url is None:
        yield InMemoryLimitBackend()
        return
    # Imported only if limits are shared.
    from gateway.limits.redis_backend import open_redis_backend  # noqa: PLC0415

    url, timeout_seconds = settings.limit_store_url.get_secret_value(), settings.limit_store_timeout_seconds
    async with open_redis_backend(url, metrics, timeout_seconds=timeout_seconds) as backend:
        yield backend


@contextlib.asynccontextmanager
async def open_project_limits(
    settings: Settings, identity: IdentityService, keystone_http: httpx.AsyncClient, metrics: Metrics
) -> AsyncIterator[ProjectLimits]:
    """The limits in force; Keystone's are read in the background."""
    reader = LimitsReader(
        client=keystone_http,
        auth_url=identity.auth_url,
        credential=identity.credential,
        service_type=settings.service_type,
        region=settings.region_name or identity.region,
        timeout_seconds=settings.keystone_timeout_seconds,
    )
    limits = ProjectLimits()
    async with limits.following(reader.read, metrics, seconds=settings.unified_limits_seconds):
        yield limits


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database | None]:
    """The database of durable work and of usage; None if the settings name none. It connects when it is used."""
    if settings.database_url is None:
        yield None
        return
    database = Database(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        retry_seconds=settings.database_retry_seconds,
    )
    try:
        yield database
    finally:
        database.close()


@contextlib.asynccontextmanager
async def recording_usage(usage: UsageRecorder | None, database: Database | None) -> AsyncIterator[None]:
    """Stores the records of calls, if there is a database."""
    if usage is None or database is None:
        yield
        return
    async with usage.running(database.run):
        yield


def build_durable(
    settings: Settings,
    database: Database | None,
    trusts: Trusts,
    worker: WorkerUser,
    *,
    admission: Admission,
    limiter: ProjectLimiter,
    containers: SwiftContainers,
) -> Durable | None:
    """Asynchronous calls; None without a database."""
    if database is None:
        return None
    objects = OperationObjects(containers, settings)
    delegations = Delegations(database, trusts, worker, settings)
    operations = Operations(database, delegations, limiter, objects, settings)
    return Durable(
        operations=operations,
        long_requests=LongRequests(operations, objects, admission),
        results=Results(objects, limiter, admission),
    )


def sizes_of(settings: Settings, durable: Durable | None) -> dict[str, int]:
    """Maximum sizes of asynchronous calls, as `/v1/limits` names them."""
    if durable is None:
        return {}
    longest = durable.long_requests.max_bytes
    # A worker sends the body to the gateway, as any caller.
    return {
        "maxOperationBodyBytes": min(longest, settings.invoke_body_max_bytes),
        "maxOperationResultBytes": longest,
    }


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
            services=ServiceCallerQueue(settings.service_concurrency, settings.service_queue_size),
            throttle=BackgroundThrottle(),
            answer_seconds=settings.response_timeout_seconds,
        ),
        diagnostics=FunctionDiagnostics(directory),
        metrics=metrics,
    )


def build_authenticator(
    settings: Settings, identity: IdentityService, metrics: Metrics, http: httpx.AsyncClient, policy: Policy
) -> Authenticator:
    """Builds the service that authenticates callers."""
    cache = TokenCache(
        build_keystone(settings, identity, http).validate,
        settings,
        on_lookup=lambda source, verdict: counter_of(metrics.token_validations, source, verdict).inc(),
    )
    return Authenticator(cache, settings, Permissions(policy, settings), auth_url=identity.auth_url)


def build_store(
    settings: Settings,
    identity: IdentityService,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
    allowlist: StoreAllowlist,
) -> ObjectStore:
    """The object store of the settings, with its circuit breakers."""
    presigner = Presigner(keystone_http, auth_url=identity.auth_url, settings=settings, allowlist=allowlist)
    client = StoreClient(http, timeout_seconds=settings.store_timeout_seconds, allowlist=allowlist)
    store = DRIVERS[settings.object_store](DriverParts(settings, client, presigner))
    return CircuitBreakingStore(store, circuit_rules(settings), retry_seconds=settings.retry_seconds)
