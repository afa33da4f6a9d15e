"""Having digests computed: by the tenant's function, with the first capability that the store honours."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from gateway.checksums.function import CapabilityRefusedError, ChecksumsFunction
from gateway.edge.context import RequestContext
from gateway.edge.metrics import Metrics
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.invoke.exchange import ReplyCutError
from gateway.objects.http import StoreTroubleError
from gateway.objects.model import Capability, ObjectStat, ObjectStore, SignedUrl
from gateway.retries import RetryWindow
from tenancy.directory.protocol import FunctionAddress

# What a function or a store that is killed and comes back looks like.
_AWAY = frozenset([Kind.FUNCTION_UNREACHABLE, Kind.SHORT_READ])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Computation:
    """One object to digest.

    Attributes:
        lasting: why it is in vain to wait for the function, or None.
        give_way: awaited between pieces of a stream; None: it gives way to nobody.
    """

    address: FunctionAddress
    caller: Caller
    stat: ObjectStat
    algorithms: tuple[str, ...]
    context: RequestContext
    lasting: Callable[[], GatewayError | None]
    give_way: Callable[[], Awaitable[None]] | None


def may_come_back(error: GatewayError) -> bool:
    """Whether another attempt, seconds later, may succeed."""
    if isinstance(error.__cause__, aiohttp.ClientSSLError):
        return False  # it would meet the same certificate
    return error.kind in _AWAY or isinstance(error, StoreTroubleError | ReplyCutError)


class Computer:
    """Carries out computations."""

    def __init__(self, store: ObjectStore, function: ChecksumsFunction, metrics: Metrics) -> None:
        self._store = store
        self._function = function
        self._metrics = metrics

    async def digests(self, computation: Computation) -> dict[str, str]:
        """The digests that are ordered.

        A computation changes nothing, so it is repeated if the function or the store went away in the middle of it.

        Raises:
            GatewayError: OBJECT_FORBIDDEN, if the store honours no capability; see `ChecksumsFunction.compute`.
        """
        window = RetryWindow(self._function.retry_seconds)
        while True:
            try:
                return await self._attempt(computation)
            except GatewayError as error:
                if not may_come_back(error) or computation.lasting() is not None or not await window.wait():
                    raise
                log.warning("trying again: %s request_id=%s", error.message, computation.context.request_id)

    async def _attempt(self, computation: Computation) -> dict[str, str]:
        """One attempt with each capability.

        A URL that was refused after its time, because the function was busy for that long, is signed anew, once.
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
                raise GatewayError(Kind.OBJECT_FORBIDDEN)

    async def _with(self, capability: Capability, computation: Computation) -> dict[str, str]:
        count, context = self._metrics.computations, computation.context
        try:
            digests = await self._function.compute(
                computation.address,
                computation.caller,
                computation.stat,
                capability,
                computation.algorithms,
                give_way=computation.give_way,
                request_id=context.request_id,
                lasting=computation.lasting,
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
