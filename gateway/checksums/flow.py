"""The story of one call: who asks, whose function works, what the object is, what its digests are."""

import logging
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway.admission import payer_of, tenant_for
from gateway.budgets.allowance import Payer
from gateway.budgets.courtesy import Courtesy
from gateway.budgets.project import ProjectBudgets
from gateway.budgets.reading import reading
from gateway.budgets.waiting import WaitingBudget
from gateway.checksums.computing import Computation, Computer
from gateway.checksums.function import FUNCTION, ChecksumsFunction
from gateway.checksums.known import Digest, KnownDigests, Source
from gateway.edge.context import RequestContext
from gateway.edge.head import RequestHead
from gateway.edge.metrics import Metrics
from gateway.errors import GatewayError, Kind
from gateway.identity.authenticate import Authenticator
from gateway.identity.caller import Caller
from gateway.invoke.trouble import Troubles
from gateway.objects.model import ObjectRef, ObjectStat, ObjectStore
from gateway.single_flight import SingleFlight, StillRunningError
from tenancy.directory.protocol import Tenant, TenantDirectory

log = logging.getLogger(__name__)

# Failures that lie with the one who started a computation, and say nothing to those who joined it.
_OF_THE_STARTER = frozenset([Kind.TOKEN_INVALID, Kind.OBJECT_FORBIDDEN])


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of an object.

    Attributes:
        algorithms: which digests.
        force: compute them even if they are known.
        store: keep them with the object.
        must_store: fail if the store cannot keep them now; that it never will is no failure.
    """

    ref: ObjectRef
    algorithms: tuple[str, ...]
    force: bool = False
    store: bool = False
    must_store: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        stored: whether the digests now lie with the object; None if that was not asked.
    """

    stat: ObjectStat
    digests: Mapping[str, Digest]
    stored: bool | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Who may have how many computations at once, and how long one waits for an answer.

    Attributes:
        budgets: of projects; computations of users have their places there.
        services: the places of service callers; they take nothing from the users of the project.
        courtesy: lets the streams of services give way to users.
        answer_seconds: longest wait for a digest; then the caller is told to ask again.
    """

    budgets: ProjectBudgets
    services: WaitingBudget
    courtesy: Courtesy
    answer_seconds: float


class ChecksumFlow:
    """Walks a call through the rooms."""

    def __init__(
        self,
        *,
        identity: Authenticator,
        directory: TenantDirectory,
        store: ObjectStore,
        known: KnownDigests,
        function: ChecksumsFunction,
        places: Places,
        metrics: Metrics,
    ) -> None:
        self._identity = identity
        self._directory = directory
        self._store = store
        self._known = known
        self._computer = Computer(store, function, metrics)
        self._places = places
        self._metrics = metrics
        self._troubles = Troubles(directory)
        self._flights: SingleFlight[object, dict[str, str]] = SingleFlight()

    async def admit(self, head: RequestHead, context: RequestContext) -> tuple[Caller, Tenant]:
        """Who calls, and which tenant that is; counts the call.

        Raises:
            GatewayError: see `Authenticator.identify` and `.authorise`; `tenant_for`; RATE_EXCEEDED.
        """
        started = time.perf_counter()
        caller = await self._identity.identify(head)
        context.timings["identity"] = time.perf_counter() - started
        context.facts |= {"user_id": caller.user_id, "project_id": caller.project_id}
        if self._identity.has_service_role(caller):
            context.service_caller = caller
        self._identity.authorise(caller, head, services=True)
        tenant = tenant_for(caller, self._directory)
        await self.count_call(caller, tenant)
        return caller, tenant

    async def count_call(self, caller: Caller, tenant: Tenant, calls: int = 1) -> None:
        """Counts a call; one about many objects counts as one for each.

        Raises:
            GatewayError: RATE_EXCEEDED.
        """
        await self._places.budgets.count_call(self._payer(caller, tenant), calls)

    def _payer(self, caller: Caller, tenant: Tenant) -> Payer:
        return payer_of(caller, tenant, service=self._identity.is_service(caller))

    async def answer(self, caller: Caller, tenant: Tenant, order: Order, context: RequestContext) -> Answer:
        """The digests that are asked for.

        Raises:
            GatewayError: see `ObjectStore.stat`, `ChecksumsFunction.compute`; TOO_MANY_AT_ONCE, BYTES_EXCEEDED,
                STILL_COMPUTING.
        """
        if self._identity.is_service(caller):
            return await self._answer(caller, tenant, order, context)
        with self._places.courtesy.user():
            return await self._answer(caller, tenant, order, context)

    async def _answer(self, caller: Caller, tenant: Tenant, order: Order, context: RequestContext) -> Answer:
        try:
            started = time.perf_counter()
            stat = await self._store.stat(caller, order.ref)
            context.timings["stat"] = time.perf_counter() - started
            known = {} if order.force else self._known.of(stat)
            digests = {name: known[name] for name in order.algorithms if name in known}
            missing = tuple(name for name in order.algorithms if name not in known)
            if missing:
                started = time.perf_counter()
                computed = await self._compute_once(caller, tenant, stat, missing, context)
                context.timings["compute"] = time.perf_counter() - started
                digests |= {name: Digest(computed[name], Source.COMPUTED) for name in missing}
            stored = await self._keep(caller, stat, digests, strict=order.must_store) if order.store else None
        except GatewayError as error:
            if error.kind is Kind.TOKEN_INVALID:
                if caller.access_rules is not None:
                    raise GatewayError(Kind.OBJECT_ACCESS_RULE) from error
                self._identity.distrust(caller)
                raise self._identity.challenged(error) from error.__cause__
            raise
        context.facts["sources"] = {name: digests[name].source for name in order.algorithms}
        for digest in digests.values():
            self._metrics.digests.labels(digest.source).inc()
        return Answer(stat, {name: digests[name] for name in order.algorithms}, stored)

    async def _compute_once(
        self, caller: Caller, tenant: Tenant, stat: ObjectStat, algorithms: tuple[str, ...], context: RequestContext
    ) -> dict[str, str]:
        """Joins a running computation of the same bytes, or starts one; only its starter gets its phases timed.

        A user does not join what a service has started: that one may still wait for its turn.
        """
        service = self._identity.is_service(caller)
        deadline = time.monotonic() + self._places.answer_seconds

        async def start() -> dict[str, str]:
            return await self._compute(caller, tenant, stat, algorithms, context)

        while True:
            of_users = (stat.identity, frozenset(algorithms), False)
            key = (stat.identity, frozenset(algorithms), service and of_users not in self._flights)
            joined = key in self._flights
            try:
                return await self._flights.run(key, start, patience_seconds=max(0, deadline - time.monotonic()))
            except StillRunningError as error:
                raise GatewayError(Kind.STILL_COMPUTING, seconds=self._places.answer_seconds) from error
            except GatewayError as error:
                # Ends at the latest when this caller is the starter itself.
                if not joined or error.kind not in _OF_THE_STARTER:
                    raise

    async def _compute(
        self, caller: Caller, tenant: Tenant, stat: ObjectStat, algorithms: tuple[str, ...], context: RequestContext
    ) -> dict[str, str]:
        address = tenant.functions.get(FUNCTION)
        if address is None:
            raise GatewayError(Kind.FUNCTION_NOT_ENABLED, function=FUNCTION, project_id=tenant.project_id)
        async with self._place(caller, tenant, stat.size):
            try:
                digests = await self._computer.digests(
                    Computation(
                        address,
                        caller,
                        stat,
                        algorithms,
                        context,
                        lasting=self._troubles.lasting(caller.project_id, FUNCTION),
                        give_way=self._places.courtesy.give_way if self._identity.is_service(caller) else None,
                    )
                )
            except GatewayError as error:
                raise self._troubles.explained(error, caller.project_id, FUNCTION) from error.__cause__
        # The function read what it was given; only the store can say that this is still the object.
        if (await self._store.stat(caller, stat.ref)).identity != stat.identity:
            raise GatewayError(Kind.OBJECT_CHANGED)
        self._known.remember(stat, digests)
        self._metrics.computed_bytes.inc(stat.size)
        return digests

    def _place(self, caller: Caller, tenant: Tenant, size: int) -> AbstractAsyncContextManager[None]:
        payer, budgets = self._payer(caller, tenant), self._places.budgets
        place = self._places.services.slot(caller.project_id) if payer.service else budgets.place(payer)
        return reading(budgets, payer, size, place)

    async def _keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, Digest], *, strict: bool) -> bool:
        """Stores what is not stored yet. A store that does not take it makes the digests no less true.

        `strict`: a failure that may pass is raised.
        """
        # What somebody else wrote is not vouched for by our binding.
        fresh = {
            name: digest.value
            for name, digest in digests.items()
            if stat.stored.get(name) != digest.value and digest.source is not Source.FOREIGN
        }
        if not fresh:
            return True
        try:
            # All metadata is written at once, so what goes back has to be what is there now, not before a long reading.
            now = await self._store.stat(caller, stat.ref)
            return now.identity == stat.identity and await self._store.keep(caller, now, fresh)
        except GatewayError as error:
            if strict:
                raise
            log.warning("digests not stored: %s", error)
            return False
