"""An object store with a circuit breaker per project.

Every call begins with a stat, so failures are detected there. Circuits are per project: the duration of a stat also
depends on the object, and a project with slow objects must not open the circuit for others.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager

from gateway.circuit import CircuitBreakers, CircuitOpenError, CircuitRules
from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.http import StoreFailureError, StoreUnreachableError
from gateway.objects.model import Capability, ObjectRef, ObjectStat, ObjectStore, OpenedObject, SignedUrl
from gateway.retries import RetryWindow


class CircuitBreakingStore:
    """An `ObjectStore` that wraps another one."""

    def __init__(
        self, store: ObjectStore, rules: CircuitRules, *, retry_seconds: float = 0, projects: int = 10_000
    ) -> None:
        """Sends no request.

        Args:
            store: the wrapped store.
            rules: when a circuit opens.
            retry_seconds: how long a failed stat is retried; all its attempts count as one request.
            projects: maximum number of circuits.
        """
        self._store = store
        self._retry_seconds = retry_seconds
        self._breakers = CircuitBreakers(rules, StoreUnreachableError, entries=projects)

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        with self._attempt(caller):
            return await self._stat(caller, ref)

    @contextlib.contextmanager
    def _attempt(self, caller: Caller) -> Iterator[None]:
        try:
            with self._breakers.of(caller.project_id).attempt():
                yield
        except CircuitOpenError as error:
            wait = max(1, math.ceil(error.seconds))
            raise GatewayError(ErrorCode.STORE_UNAVAILABLE, retry_after_seconds=wait) from error

    async def _stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        window: RetryWindow | None = None
        while True:
            try:
                return await self._store.stat(caller, ref)
            except StoreFailureError:
                window = window or RetryWindow(self._retry_seconds)
                if not await window.wait():
                    raise

    def capabilities(self, caller: Caller, stat: ObjectStat, *, bound: bool = False) -> AsyncIterator[Capability]:
        return self._store.capabilities(caller, stat, bound=bound)

    async def write_url(self, caller: Caller, ref: ObjectRef, *, new: bool) -> SignedUrl | None:
        return await self._store.write_url(caller, ref, new=new)

    def reading(self, caller: Caller, stat: ObjectStat) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._store.reading(caller, stat)

    @contextlib.asynccontextmanager
    async def opening(self, caller: Caller, ref: ObjectRef, max_bytes: int) -> AsyncIterator[OpenedObject | None]:
        """Without retries: a caller who gets a failure goes on with `stat`."""
        async with contextlib.AsyncExitStack() as stack:
            with self._attempt(caller):
                opened = await stack.enter_async_context(self._store.opening(caller, ref, max_bytes))
            yield opened

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        return await self._store.keep(caller, stat, digests)
