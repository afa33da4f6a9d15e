"""Runs computations in the tenant's function, with the first capability that the store accepts."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from gateway.checksums.function import CapabilityRefusedError, ChecksumsFunction
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.http.metrics import Metrics
from gateway.identity.caller import Caller
from gateway.invoke.function_client import ReplyCutError
from gateway.objects.http import StoreFailureError
from gateway.objects.model import Capability, ObjectStat, ObjectStore, SignedUrl
from gateway.retries import RetryWindow
from tenancy.directory import FunctionAddress

# Errors of a function or a store that restarts.
_AWAY = frozenset([ErrorCode.FUNCTION_UNREACHABLE, ErrorCode.SHORT_READ])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Computation:
    """One object to digest.

    Attributes:
        permanent_failure: returns the error of a permanent failure of the function, or None.
        yield_to_interactive: awaited between pieces of a stream; None: not throttled.
    """

    address: FunctionAddress
    caller: Caller
    stat: ObjectStat
    algorithms: tuple[str, ...]
    context: RequestContext
    permanent_failure: Callable[[], GatewayError | None]
    yield_to_interactive: Callable[[], Awaitable[None]] | None


def is_transient(error: GatewayError) -> bool:
    """Whether a retry, seconds later, may succeed."""
    if isinstance(error.__cause__, aiohttp.ClientSSLError):
        return False  # a retry meets the same certificate
    return error.kind in _AWAY or isinstance(error, StoreFailureError | ReplyCutError)


class ComputationRunner:
    """Runs computations."""

    def __init__(self, store: ObjectStore, function: ChecksumsFunction, metrics: Metrics) -> None:
        self._store = store
        self._function = function
        self._metrics = metrics

    async def digests(self, computation: Computation) -> dict[str, str]:
        """Computes the requested digests.

        A computation is idempotent, so it is retried if the function or the store fails during it.

        Raises:
            GatewayError: OBJECT_FORBIDDEN, if the store accepts no capability; see `ChecksumsFunction.compute`.
        """
        window = RetryWindow(self._function.retry_seconds)
        while True:
            try:
                return await self._attempt(computation)
            except GatewayError as error:
                if not is_transient(error) or computation.permanent_failure() is not None or not await window.wait():
                    raise
                log.warning("trying again: %s request_id=%s", error.message, computation.context.request_id)

    async def _attempt(self, computation: Computation) -> dict[str, str]:
        """One attempt with each capability.

        A URL that expired before it was used, because the function was busy, is signed anew, once.
        """
        renewed = False
        while True:
            async for capability in self._store.capabilities(computation.caller, computation.stat):
                started = time.monotonic()
                try:
                    return await self._with(capability, computation)
                except CapabilityRefusedError:
                    waited = time.monotonic() - started
                if not renewed and isinstance(capability, SignedUrl) and waited > capability.seconds:
                    renewed = True
                    break
            else:
                raise GatewayError(ErrorCode.OBJECT_FORBIDDEN)

    async def _with(self, capability: Capability, computation: Computation) -> dict[str, str]:
        count, context = self._metrics.computations, computation.context
        try:
            digests = await self._function.compute(
                computation.address,
                computation.caller,
                computation.stat,
                capability,
                computation.algorithms,
                yield_to_interactive=computation.yield_to_interactive,
                request_id=context.request_id,
                permanent_failure=computation.permanent_failure,
                timings=context.timings,
            )
        except CapabilityRefusedError:
            count.labels(capability.name, "refused").inc()
            log.warning("the store refused a %s request_id=%s", capability.name, context.request_id)
            raise
        except GatewayError as error:
            count.labels(capability.name, error.kind.code).inc()
            raise
        count.labels(capability.name, "done").inc()
        return digests
