"""The rooms that answer calls, each made from the settings and joined to those that it needs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import httpx

from gateway.budgets.allowance import Allowance
from gateway.budgets.courtesy import Courtesy
from gateway.budgets.ledger import Ledger, LocalLedger
from gateway.budgets.line import Patience as LinePatience
from gateway.budgets.project import BudgetRules, ProjectBudgets
from gateway.budgets.waiting import WaitingBudget
from gateway.checksums.bulk import BulkRules
from gateway.checksums.bulk_routes import BulkRoutes
from gateway.checksums.flow import ChecksumFlow, Places
from gateway.checksums.function import ChecksumsFunction
from gateway.checksums.known import KnownDigests
from gateway.checksums.list_slots import ListLimits, ListSlots
from gateway.checksums.routes import ChecksumRoutes
from gateway.clients import open_clients, store_origins
from gateway.edge.metrics import Metrics, counter_of
from gateway.edge.strict_protocol import ProjectOf
from gateway.events.flow import EventFlow
from gateway.events.routes import EventRoutes
from gateway.identity.authenticate import Authenticator, IdentityRules
from gateway.identity.cache import CacheLimits, TokenCache
from gateway.identity.credential import IdentityService
from gateway.invoke.exchange import FunctionClient, Patience
from gateway.invoke.proxy import Proxy
from gateway.invoke.routes import InvokeRoutes
from gateway.invoke.trouble import Troubles
from gateway.keystone import build_keystone, circuit_rules, token_form
from gateway.limits.routes import LimitRoutes
from gateway.objects.breaking import BreakingStore
from gateway.objects.http import StoreClient
from gateway.objects.model import ObjectStore
from gateway.objects.origins import StoreOrigins
from gateway.objects.s3 import Presigner, S3Rules
from gateway.objects.s3_store import S3Store
from gateway.objects.swift import SwiftRules, SwiftStore
from gateway.settings import Settings
from tenancy.directory.protocol import TenantDirectory


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a route hands its request to, and `project_of`: whose turn a request takes when many arrive at once."""

    checksums: ChecksumRoutes
    bulk: BulkRoutes
    events: EventRoutes
    invocations: InvokeRoutes
    limits: LimitRoutes
    project_of: ProjectOf


@contextlib.asynccontextmanager
async def open_rooms(
    settings: Settings, identity: IdentityService, directory: TenantDirectory, metrics: Metrics
) -> AsyncIterator[Rooms]:
    """The rooms, for as long as the clients that they share are open."""
    origins = store_origins(settings)
    async with (
        open_clients(settings, identity, origins) as (http, store_http, keystone_http),
        open_ledger(settings, metrics) as ledger,
    ):
        budgets = ProjectBudgets(ledger, budget_rules(settings), metrics)
        shared = build_shared(settings, identity, metrics, budgets, http=http, keystone_http=keystone_http)
        store = build_store(settings, identity, store_http, keystone_http, origins)
        flow = build_flow(settings, directory, metrics, shared, store)
        rules, slots = bulk_rules(settings), ListSlots(list_limits(settings))
        yield Rooms(
            checksums=ChecksumRoutes(flow, default_algorithms=settings.default_algorithms),
            bulk=BulkRoutes(flow, rules, slots),
            events=EventRoutes(
                flow, EventFlow(flow, entries=settings.event_memory_entries), rules=rules, slots=slots, metrics=metrics
            ),
            invocations=build_invocations(settings, directory, shared),
            limits=LimitRoutes(identity=shared.authenticator, directory=directory, budgets=budgets),
            project_of=shared.authenticator.project_of,
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """What checksums and invocations have in common: who calls, how much at once, and the way to functions."""

    authenticator: Authenticator
    functions: FunctionClient
    budgets: ProjectBudgets


@contextlib.asynccontextmanager
async def open_ledger(settings: Settings, metrics: Metrics) -> AsyncIterator[Ledger]:
    """The books of the budgets: in Redis, if the settings name one."""
    if settings.budget_store_url is None:
        yield LocalLedger()
        return
    # Only who shares budgets needs the client.
    from gateway.budgets.shared import open_shared_ledger  # noqa: PLC0415

    url, timeout_seconds = settings.budget_store_url.get_secret_value(), settings.budget_store_timeout_seconds
    async with open_shared_ledger(url, metrics, timeout_seconds=timeout_seconds) as ledger:
        yield ledger


def budget_rules(settings: Settings) -> BudgetRules:
    """How the budgets of projects are kept."""
    return BudgetRules(
        defaults=Allowance(
            concurrent_calls=settings.project_computations,
            requests_per_second=settings.project_requests_per_second,
            bytes_per_second=settings.project_bytes_per_second,
        ),
        burst_seconds=settings.budget_burst_seconds,
        debt_seconds=settings.budget_debt_seconds,
        users=LinePatience(most=settings.budget_queue, seconds=settings.budget_wait_seconds),
        # A storage federation takes a refusal for a failed transfer, so it waits for as long as for an answer.
        services=LinePatience(most=settings.service_queue, seconds=settings.answer_seconds),
    )


def build_shared(
    settings: Settings,
    identity: IdentityService,
    metrics: Metrics,
    budgets: ProjectBudgets,
    *,
    http: aiohttp.ClientSession,
    keystone_http: httpx.AsyncClient,
) -> Shared:
    """One of each for the process."""
    patience = Patience(
        connect_seconds=settings.function_connect_seconds,
        silence_seconds=settings.function_silence_seconds,
        total_seconds=settings.function_timeout_seconds,
        trouble_seconds=settings.function_trouble_seconds,
        retry_seconds=settings.retry_seconds,
    )
    return Shared(
        authenticator=build_authenticator(settings, identity, metrics, keystone_http),
        functions=FunctionClient(http, patience),
        budgets=budgets,
    )


def build_invocations(settings: Settings, directory: TenantDirectory, shared: Shared) -> InvokeRoutes:
    """The room that passes calls on to functions."""
    return InvokeRoutes(
        identity=shared.authenticator,
        directory=directory,
        proxy=Proxy(shared.functions, Troubles(directory)),
        budgets=shared.budgets,
        body_max_bytes=settings.invoke_body_max_bytes,
    )


def build_flow(
    settings: Settings, directory: TenantDirectory, metrics: Metrics, shared: Shared, store: ObjectStore
) -> ChecksumFlow:
    """The rooms of a call, joined."""
    return ChecksumFlow(
        identity=shared.authenticator,
        directory=directory,
        store=store,
        known=KnownDigests(settings.digest_cache_entries, trust_foreign=settings.trust_foreign_digests),
        function=ChecksumsFunction(shared.functions, store),
        places=Places(
            budgets=shared.budgets,
            services=WaitingBudget(settings.service_computations, settings.service_queue),
            courtesy=Courtesy(),
            answer_seconds=settings.answer_seconds,
        ),
        metrics=metrics,
    )


def bulk_rules(settings: Settings) -> BulkRules:
    """Bounds of a request about many objects."""
    return BulkRules(
        default_algorithms=settings.default_algorithms,
        max_bytes=settings.body_max_bytes,
        max_objects=settings.bulk_max_objects,
        at_once=settings.bulk_at_once,
    )


def list_limits(settings: Settings) -> ListLimits:
    """How many such requests are in work at once."""
    return ListLimits(
        body_bytes=settings.body_max_bytes,
        project_bytes=settings.project_list_bytes,
        process_bytes=settings.list_bytes,
    )


def build_authenticator(
    settings: Settings, identity: IdentityService, metrics: Metrics, http: httpx.AsyncClient
) -> Authenticator:
    """The room that knows callers."""
    cache = TokenCache(
        build_keystone(settings, identity, http).validate,
        CacheLimits(
            entries=settings.token_cache_entries,
            seconds=settings.token_cache_seconds,
            refusal_seconds=settings.token_refusal_cache_seconds,
            outage_seconds=settings.token_outage_seconds,
            strangers=settings.token_validations,
            stranger_wait_seconds=settings.keystone_timeout_seconds,
        ),
        seen=lambda source, verdict: counter_of(metrics.tokens, source, verdict).inc(),
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
    origins: StoreOrigins,
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
        origins=origins,
    )
    client = StoreClient(http, timeout_seconds=settings.store_timeout_seconds, origins=origins)
    store: ObjectStore
    if settings.object_store == "s3":
        store = S3Store(client, presigner, settings.capabilities)
    else:
        store = build_swift(settings, client, presigner)
    return BreakingStore(store, circuit_rules(settings), retry_seconds=settings.retry_seconds)


def build_swift(settings: Settings, client: StoreClient, presigner: Presigner) -> SwiftStore:
    """The store, if it is Swift."""
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
