"""Digests of one object: known ones, and a job in the tenant's function for the others."""

import asyncio
import logging
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from gateway.calls.admission import Admission
from gateway.calls.call import Call, enabled_function
from gateway.checksums.contract import FUNCTION, DigestContract
from gateway.checksums.known import Digest, KnownDigests, Source
from gateway.compute.job import Job
from gateway.compute.runner import Runner
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.objects.model import ObjectRef, ObjectStat, ObjectStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChecksumRequest:
    """A request for digests of one object.

    Attributes:
        algorithms: names of the requested digests.
        force: compute them even if they are known.
        store: store them in the object's metadata.
        must_store: fail if they cannot be stored now; an object that can never store them is no failure.
        returning: the caller repeats the request if it disconnects before the answer.
    """

    ref: ObjectRef
    algorithms: tuple[str, ...]
    force: bool = False
    store: bool = False
    must_store: bool = False
    returning: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Digests of one object.

    Attributes:
        stored: whether the digests are in the object's metadata now; None if that was not requested.
    """

    stat: ObjectStat
    digests: Mapping[str, Digest]
    stored: bool | None = None


class Checksums:
    """Answers requests for digests."""

    def __init__(
        self, *, admission: Admission, store: ObjectStore, known: KnownDigests, runner: Runner, metrics: Metrics
    ) -> None:
        self._admission = admission
        self._store = store
        self._known = known
        self._runner = runner
        self._metrics = metrics
        self._keeping: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, call: Call, request: ChecksumRequest) -> Answer:
        """The requested digests; their sources are added to the call's log line.

        Raises:
            GatewayError: see `ObjectStore.stat` and `Runner.run`.
        """
        with self._runner.interactive(call):
            try:
                return await self._answer(call, request)
            except GatewayError as error:
                raise self.explained(call, error) from error.__cause__

    def check_enabled(self, call: Call) -> None:
        """Checks that the project has the function that computes digests.

        Raises:
            GatewayError: FUNCTION_NOT_ENABLED.
        """
        enabled_function(call, FUNCTION)

    def explained(self, call: Call, error: GatewayError) -> GatewayError:
        """The error for a caller whose token the store may have rejected."""
        return self._admission.token_rejected(call, error) if error.kind is ErrorCode.TOKEN_INVALID else error

    async def _answer(self, call: Call, request: ChecksumRequest) -> Answer:
        timings, started = call.context.timings, time.perf_counter()
        stat = await self._store.stat(call.caller, request.ref)
        timings["stat"] = time.perf_counter() - started
        digests, missing = self.known(request, stat)
        if missing:
            started = time.perf_counter()
            computed = await self._runner.run(self.job(call, stat, missing, returning=request.returning))
            digests |= as_computed(computed)
            timings["compute"] = time.perf_counter() - started
        return await self.finished(call, request, stat, digests)

    def known(self, request: ChecksumRequest, stat: ObjectStat) -> tuple[dict[str, Digest], tuple[str, ...]]:
        """The requested digests that are known, and the names of the others."""
        known = {} if request.force else self._known.of(stat)
        digests = {name: known[name] for name in request.algorithms if name in known}
        return digests, tuple(name for name in request.algorithms if name not in known)

    async def finished(
        self, call: Call, request: ChecksumRequest, stat: ObjectStat, digests: Mapping[str, Digest]
    ) -> Answer:
        """The answer with all requested digests, which are stored with the object if that is requested.

        Raises:
            GatewayError: as `ObjectStore.keep`, only if the digests must be stored.
        """
        stored = await self._keep(call, stat, digests, strict=request.must_store) if request.store else None
        call.context.log.sources = {name: digests[name].source for name in request.algorithms}
        for digest in digests.values():
            self._metrics.digests.labels(digest.source).inc()
        return Answer(stat, {name: digests[name] for name in request.algorithms}, stored)

    def job(
        self, call: Call, stat: ObjectStat, algorithms: tuple[str, ...], *, returning: bool = False
    ) -> Job[dict[str, str]]:
        """The computation of digests; they are cached."""

        def remember(digests: dict[str, str]) -> None:
            self._known.remember(stat, digests)

        contract = DigestContract(algorithms)
        return Job(call=call, stat=stat, contract=contract, remember=remember, returning=returning)

    async def _keep(self, call: Call, stat: ObjectStat, digests: Mapping[str, Digest], *, strict: bool) -> bool:
        """Stores the digests that are not stored yet; returns whether all of them are stored.

        `strict`: raise a failure that may be temporary.
        """
        # Our binding must not vouch for a foreign digest.
        ours = {name: digest.value for name, digest in digests.items() if digest.source is not Source.FOREIGN}
        if not _not_stored(ours, stat):
            return True
        # All metadata is replaced at once: of two calls that store at once, one would undo what the other has stored.
        lock = self._keeping.setdefault(stat.identity, asyncio.Lock())
        try:
            async with lock:
                # The metadata of now, not that before a long computation.
                now = await self._store.stat(call.caller, stat.ref)
                if now.identity != stat.identity:
                    return False
                fresh = _not_stored(ours, now)
                return not fresh or await self._store.keep(call.caller, now, fresh)
        except GatewayError as error:
            if strict:
                raise
            log.warning("digests not stored: %s", error)
            return False


def _not_stored(digests: Mapping[str, str], stat: ObjectStat) -> dict[str, str]:
    return {name: value for name, value in digests.items() if stat.stored.get(name) != value}


def as_computed(digests: Mapping[str, str]) -> dict[str, Digest]:
    """Digests that were just computed."""
    return {name: Digest(value, Source.COMPUTED) for name, value in digests.items()}
