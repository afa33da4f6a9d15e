"""Attempts at a job: with one capability after another, and again while the function or the store restarts."""

import logging
import time

from gateway.compute.job import CapabilityRefusedError, Job, Result
from gateway.compute.object_function import ObjectFunction, Target
from gateway.errors import ErrorCode, GatewayError
from gateway.http.metrics import Metrics
from gateway.objects.http import StoreFailureError
from gateway.objects.model import Capability, ObjectStore, SignedUrl
from gateway.retries import RetryWindow
from gateway.upstream.errors import CertificateRejectedError
from gateway.upstream.function_client import ReplyCutError

# Errors of a function or a store that restarts.
_AWAY = frozenset([ErrorCode.FUNCTION_UNREACHABLE, ErrorCode.OBJECT_TRUNCATED])

log = logging.getLogger(__name__)


def is_transient(error: GatewayError) -> bool:
    """Whether another attempt, seconds later, may succeed."""
    if isinstance(error.__cause__, CertificateRejectedError):
        return False  # it would meet the same certificate
    return error.kind in _AWAY or isinstance(error, StoreFailureError | ReplyCutError)


class Attempts:
    """Runs jobs. A job changes nothing, so it may be repeated."""

    def __init__(self, store: ObjectStore, function: ObjectFunction, metrics: Metrics) -> None:
        self._store = store
        self._function = function
        self._metrics = metrics

    async def result(self, job: Job[Result], target: Target) -> Result:
        """The result of a job.

        Raises:
            GatewayError: OBJECT_FORBIDDEN, if the store accepts no capability; see `ObjectFunction.compute`.
        """
        window = RetryWindow(self._function.retry_seconds)
        while True:
            try:
                return await self._with_capabilities(job, target)
            except GatewayError as error:
                if not is_transient(error) or target.permanent_failure() is not None or not await window.wait():
                    raise
                log.warning("retrying: %s request_id=%s", error.message, job.call.context.request_id)

    async def _with_capabilities(self, job: Job[Result], target: Target) -> Result:
        """One attempt with each capability.

        A URL that expired before the function was ready to use it is signed again, once.
        """
        renewed = False
        while True:
            async for capability in self._store.capabilities(job.call.caller, job.stat):
                started = time.monotonic()
                try:
                    return await self._counted(job, target, capability)
                except CapabilityRefusedError:
                    waited = time.monotonic() - started
                if not renewed and isinstance(capability, SignedUrl) and waited > capability.seconds:
                    renewed = True
                    break
            else:
                raise GatewayError(ErrorCode.OBJECT_FORBIDDEN)

    async def _counted(self, job: Job[Result], target: Target, capability: Capability) -> Result:
        count = self._metrics.computations
        try:
            result = await self._function.compute(job, target, capability)
        except CapabilityRefusedError:
            count.labels(capability.name, "refused").inc()
            log.warning("the store rejected a %s request_id=%s", capability.name, job.call.context.request_id)
            raise
        except GatewayError as error:
            count.labels(capability.name, error.kind.code).inc()
            raise
        count.labels(capability.name, "done").inc()
        return result
