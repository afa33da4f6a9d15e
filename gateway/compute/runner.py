"""Runs jobs: each computation once for all waiting callers, in a slot of its project, with a verified result."""

import contextlib
import logging
import time
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from cachetools import TTLCache

from gateway.calls.call import Call, enabled_function
from gateway.compute.attempts import Attempts
from gateway.compute.batch import BatchOrder, BatchRefusedError, LoadedJob
from gateway.compute.job import Job, Result
from gateway.compute.object_function import ObjectFunction, Target
from gateway.compute.slots import ComputeSlots
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.objects.model import ObjectStore
from gateway.single_flight import AbandonedError, SingleFlight, StillRunningError
from gateway.upstream.diagnostics import FunctionDiagnostics

log = logging.getLogger(__name__)

# How long a function that failed with a batch is called for each object.
_NO_BATCH_SECONDS, _NO_BATCH_FUNCTIONS = 60, 10_000
_BATCH = "batch"

# Failures that apply only to the caller who started a computation, not to those who joined it.
_OF_THE_STARTER = frozenset([ErrorCode.TOKEN_INVALID, ErrorCode.OBJECT_FORBIDDEN])


class Runner:
    """Runs jobs in the functions of tenants."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        function: ObjectFunction,
        slots: ComputeSlots,
        diagnostics: FunctionDiagnostics,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._function = function
        self._attempts = Attempts(store, function, metrics)
        self._slots = slots
        self._diagnostics = diagnostics
        self._computed_bytes = metrics.computed_bytes
        self._computations = metrics.computations
        self._without_batches: TTLCache[Hashable, bool] = TTLCache(_NO_BATCH_FUNCTIONS, _NO_BATCH_SECONDS)
        self._flights: SingleFlight[object, Any] = SingleFlight()

    def interactive(self, call: Call) -> AbstractContextManager[None]:
        """Marks the time in which the call's user waits for an answer."""
        return self._slots.interactive(call)

    async def run(self, job: Job[Result]) -> Result:
        """Joins a running computation of the same identity, or starts one; only the starter's timings have its phases.

        A user does not join a computation that a service caller has started, because it may still be queued.

        Raises:
            GatewayError: COMPUTATION_RUNNING after `answer_seconds`, and the computation continues;
                FUNCTION_NOT_ENABLED, CONCURRENCY_EXCEEDED, BYTES_EXCEEDED, OBJECT_CHANGED; see `Attempts.result`.
        """
        deadline = time.monotonic() + self._slots.answer_seconds
        of_users = job.identity, False
        while True:
            key = job.identity, job.call.of_service and of_users not in self._flights
            joined = key in self._flights
            try:
                result: Result = await self._flights.run(
                    key,
                    partial(self._held, job, key),
                    wait_seconds=max(0, deadline - time.monotonic()),
                    returning=job.returning,
                )
            except StillRunningError as error:
                raise GatewayError(ErrorCode.COMPUTATION_RUNNING, seconds=self._slots.answer_seconds) from error
            except AbandonedError:
                continue
            except GatewayError as error:
                # Ends at the latest when this caller is the starter itself.
                if not joined or error.kind not in _OF_THE_STARTER:
                    raise
            else:
                return result

    def takes_batches(self, call: Call, function: str) -> bool:
        """Whether a function of the call's tenant may be sent many objects at once."""
        address = call.tenant.functions.get(function)
        return address is not None and address not in self._without_batches

    async def run_batch(self, loaded: Sequence[LoadedJob[Result]]) -> list[Result] | None:
        """Runs jobs of one call with the same contract, in one slot and one call of the function.

        The bytes are charged already, and they are those of the ETag and size in each job's stat, because they came in
        the same response of the store. So no second stat is needed.

        Returns:
            The results in the order of the jobs; None if they must be run one by one: that waits, retries and reports
            errors.
        """
        keys = [(each.job.identity, each.job.call.of_service) for each in loaded]
        if len(set(keys)) < len(keys) or any(self.is_running(each.job) for each in loaded):
            return None
        with self._flights.leading(keys) as futures:
            results = await self._batch_results(loaded)
            if results is None:
                return None
            for each, future, result in zip(loaded, futures, results, strict=True):
                each.job.remember(result)
                self._computed_bytes.inc(each.job.stat.size)
                future.set_result(result)
            return results

    def is_running(self, job: Job[Any]) -> bool:
        """Whether a computation runs that this job would join."""
        return (job.identity, False) in self._flights or (job.identity, job.call.of_service) in self._flights

    async def _batch_results(self, loaded: Sequence[LoadedJob[Result]]) -> list[Result] | None:
        call, function = loaded[0].job.call, loaded[0].job.contract.function
        address = call.tenant.functions.get(function)
        if address is None:
            return None
        target = Target(
            address=address, permanent_failure=self._diagnostics.permanent_failure(call.caller.project_id, function)
        )
        try:
            if call.of_service:
                await self._slots.throttle.yield_to_interactive()
            async with self._slots.charged_slot(call):
                results = await self._function.compute_batch(BatchOrder(loaded), target)
        except BatchRefusedError:
            self._without_batches[address] = True
            outcome, results = "unsupported", None
        except GatewayError as error:
            if error.kind is ErrorCode.FUNCTION_FAILED:
                self._without_batches[address] = True
            log.warning("a batch failed: %s request_id=%s", error.message, call.context.request_id)
            outcome, results = error.kind.code, None
        else:
            outcome = "done"
        self._computations.labels(_BATCH, outcome).inc()
        return results

    async def _held(self, job: Job[Result], key: Hashable) -> Result:
        """Its usage belongs to the call that started it, even if that has ended meanwhile."""
        usage = job.call.context.usage
        with usage.held() if usage is not None else contextlib.nullcontext():
            return await self._compute(job, key)

    async def _compute(self, job: Job[Result], key: Hashable) -> Result:
        call, function = job.call, job.contract.function
        target = Target(
            address=enabled_function(call, function),
            permanent_failure=self._diagnostics.permanent_failure(call.caller.project_id, function),
            pause=self._slots.throttle.yield_to_interactive if call.of_service else None,
        )
        async with self._slots.slot(call, job.stat.size):
            self._flights.begun(key)
            try:
                result = await self._attempts.result(job, target)
            except GatewayError as error:
                raise self._diagnostics.with_diagnosis(error, call.caller.project_id, function) from error.__cause__
        # Only the store can tell whether the bytes that the function has read are still the object.
        if (await self._store.stat(call.caller, job.stat.ref)).identity != job.stat.identity:
            raise GatewayError(ErrorCode.OBJECT_CHANGED)
        job.remember(result)
        self._computed_bytes.inc(job.stat.size)
        return result
