"""Flow of a checksum request: admission, stat, known digests, computation, storing."""

import logging
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway.admission import limit_subject, tenant_for
from gateway.checksums.computing import Computation, ComputationRunner
from gateway.checksums.function import FUNCTION, ChecksumsFunction
from gateway.checksums.known import Digest, KnownDigests, Source
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.head import RequestHead
from gateway.http.metrics import Metrics
from gateway.identity.authenticate import Authenticator
from gateway.identity.caller import Caller
from gateway.invoke.diagnostics import FunctionDiagnostics
from gateway.limits.background_throttle import BackgroundThrottle
from gateway.limits.byte_charges import charged_read
from gateway.limits.limiter import ProjectLimiter
from gateway.limits.model import LimitSubject
from gateway.limits.service_queue import ServiceCallerQueue
from gateway.objects.model import ObjectRef, ObjectStat, ObjectStore
from gateway.single_flight import SingleFlight, StillRunningError
from tenancy.directory import Tenant, TenantDirectory

log = logging.getLogger(__name__)

# Failures that concern only the caller who started a computation, not those who joined it.
_OF_THE_STARTER = frozenset([ErrorCode.TOKEN_INVALID, ErrorCode.OBJECT_FORBIDDEN])


@dataclass(frozen=True, slots=True)
class ChecksumRequest:
    """A request for digests of one object.

    Attributes:
        algorithms: names of the digests.
        force: compute even if they are known.
        store: store them with the object.
        must_store: fail if the store cannot store them now; a permanent refusal is not a failure.
    """

    ref: ObjectRef
    algorithms: tuple[str, ...]
    force: bool = False
    store: bool = False
    must_store: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a checksum request.

    Attributes:
        stored: whether the digests are stored with the object; None if that was not requested.
    """

    stat: ObjectStat
    digests: Mapping[str, Digest]
    stored: bool | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencyControl:
    """Concurrency limits of computations, and the maximum wait for an answer.

    Attributes:
        limiter: limits of projects; computations of users take their slots there.
        services: slots of service callers, apart from those of the project's users.
        throttle: makes streams of service callers yield to users.
        answer_seconds: maximum wait for a digest; then the caller gets 504 and may retry.
    """

    limiter: ProjectLimiter
    services: ServiceCallerQueue
    throttle: BackgroundThrottle
    answer_seconds: float


class ChecksumFlow:
    """Handles checksum requests."""

    def __init__(
        self,
        *,
        identity: Authenticator,
        directory: TenantDirectory,
        store: ObjectStore,
        known: KnownDigests,
        function: ChecksumsFunction,
        concurrency: ConcurrencyControl,
        metrics: Metrics,
    ) -> None:
        self._identity = identity
        self._directory = directory
        self._store = store
        self._known = known
        self._runner = ComputationRunner(store, function, metrics)
        self._concurrency = concurrency
        self._metrics = metrics
        self._diagnostics = FunctionDiagnostics(directory)
        self._flights: SingleFlight[object, dict[str, str]] = SingleFlight()

    async def admit(self, head: RequestHead, context: RequestContext) -> tuple[Caller, Tenant]:
        """Authenticates the caller, finds its tenant, and counts the call.

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
        """Counts a call; a bulk request counts once per object.

        Raises:
            GatewayError: RATE_EXCEEDED.
        """
        await self._concurrency.limiter.count_call(self._subject(caller, tenant), calls)

    def _subject(self, caller: Caller, tenant: Tenant) -> LimitSubject:
        return limit_subject(caller, tenant, service=self._identity.is_service(caller))

    async def answer(self, caller: Caller, tenant: Tenant, request: ChecksumRequest, context: RequestContext) -> Answer:
        """Returns the requested digests, known or computed.

        Raises:
            GatewayError: see `ObjectStore.stat`, `ChecksumsFunction.compute`; TOO_MANY_AT_ONCE, BYTES_EXCEEDED,
                STILL_COMPUTING.
        """
        if self._identity.is_service(caller):
            return await self._answer(caller, tenant, request, context)
        with self._concurrency.throttle.interactive():
            return await self._answer(caller, tenant, request, context)

    async def _answer(
        self, caller: Caller, tenant: Tenant, request: ChecksumRequest, context: RequestContext
    ) -> Answer:
        try:
            started = time.perf_counter()
            stat = await self._store.stat(caller, request.ref)
            context.timings["stat"] = time.perf_counter() - started
            known = {} if request.force else self._known.of(stat)
            digests = {name: known[name] for name in request.algorithms if name in known}
            missing = tuple(name for name in request.algorithms if name not in known)
            if missing:
                started = time.perf_counter()
                computed = await self._compute_once(caller, tenant, stat, missing, context)
                context.timings["compute"] = time.perf_counter() - started
                digests |= {name: Digest(computed[name], Source.COMPUTED) for name in missing}
            stored = await self._keep(caller, stat, digests, strict=request.must_store) if request.store else None
        except GatewayError as error:
            if error.kind is ErrorCode.TOKEN_INVALID:
                if caller.access_rules is not None:
                    raise GatewayError(ErrorCode.OBJECT_ACCESS_RULE) from error
                self._identity.invalidate(caller)
                raise self._identity.with_challenge(error) from error.__cause__
            raise
        context.facts["sources"] = {name: digests[name].source for name in request.algorithms}
        for digest in digests.values():
            self._metrics.digests.labels(digest.source).inc()
        return Answer(stat, {name: digests[name] for name in request.algorithms}, stored)

    async def _compute_once(
        self, caller: Caller, tenant: Tenant, stat: ObjectStat, algorithms: tuple[str, ...], context: RequestContext
    ) -> dict[str, str]:
        """Joins a running computation of the same bytes, or starts one; only the starter gets timings.

        A user does not join a computation of a service, which may still be queued.
        """
        service = self._identity.is_service(caller)
        deadline = time.monotonic() + self._concurrency.answer_seconds

        async def start() -> dict[str, str]:
            return await self._compute(caller, tenant, stat, algorithms, context)

        while True:
            of_users = (stat.identity, frozenset(algorithms), False)
            key = (stat.identity, frozenset(algorithms), service and of_users not in self._flights)
            joined = key in self._flights
            try:
                return await self._flights.run(key, start, patience_seconds=max(0, deadline - time.monotonic()))
            except StillRunningError as error:
                raise GatewayError(ErrorCode.STILL_COMPUTING, seconds=self._concurrency.answer_seconds) from error
            except GatewayError as error:
                # The loop ends at the latest when this caller is the starter itself.
                if not joined or error.kind not in _OF_THE_STARTER:
                    raise

    async def _compute(
        self, caller: Caller, tenant: Tenant, stat: ObjectStat, algorithms: tuple[str, ...], context: RequestContext
    ) -> dict[str, str]:
        address = tenant.functions.get(FUNCTION)
        if address is None:
            raise GatewayError(ErrorCode.FUNCTION_NOT_ENABLED, function=FUNCTION, project_id=tenant.project_id)
        async with self._slot(caller, tenant, stat.size):
            try:
                digests = await self._runner.digests(
                    Computation(
                        address,
                        caller,
                        stat,
                        algorithms,
                        context,
                        permanent_failure=self._diagnostics.permanent_failure(caller.project_id, FUNCTION),
                        yield_to_interactive=self._concurrency.throttle.yield_to_interactive
                        if self._identity.is_service(caller)
                        else None,
                    )
                )
            except GatewayError as error:
                raise self._diagnostics.with_diagnosis(error, caller.project_id, FUNCTION) from error.__cause__
        # Only the store can tell that the bytes that the function read are still the object.
        if (await self._store.stat(caller, stat.ref)).identity != stat.identity:
            raise GatewayError(ErrorCode.OBJECT_CHANGED)
        self._known.remember(stat, digests)
        self._metrics.computed_bytes.inc(stat.size)
        return digests

    def _slot(self, caller: Caller, tenant: Tenant, size: int) -> AbstractAsyncContextManager[None]:
        subject, limiter = self._subject(caller, tenant), self._concurrency.limiter
        slot = self._concurrency.services.slot(caller.project_id) if subject.service else limiter.slot(subject)
        return charged_read(limiter, subject, size, slot)

    async def _keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, Digest], *, strict: bool) -> bool:
        """Stores digests that are not stored yet. A failure does not affect the validity of the digests.

        `strict`: raise temporary failures.
        """
        # Foreign digests are not bound by us.
        fresh = {
            name: digest.value
            for name, digest in digests.items()
            if stat.stored.get(name) != digest.value and digest.source is not Source.FOREIGN
        }
        if not fresh:
            return True
        try:
            # All metadata is written at once, so it has to be the current one, not that from before a long computation.
            now = await self._store.stat(caller, stat.ref)
            return now.identity == stat.identity and await self._store.keep(caller, now, fresh)
        except GatewayError as error:
            if strict:
                raise
            log.warning("digests not stored: %s", error)
            return False
