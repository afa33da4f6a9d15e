"""Bodies of operations that are objects: written, read and deleted with an authority of the caller, never our own."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.containers import OpenedFile, SwiftContainers
from gateway.objects.model import ObjectRef
from gateway.settings import Settings
from operations.store.model import StoredObject

log = logging.getLogger(__name__)

# After its last attempt has begun, an operation may run as long; and clocks differ.
RUN_SECONDS = 7_200
# The store's clock and the database's differ, and a result is written before its operation ends.
_MARGIN_SECONDS = 3_600
_CHANGED = frozenset([ErrorCode.OBJECT_CHANGED, ErrorCode.OBJECT_NOT_FOUND])


class OperationObjects:
    """The container for bodies of operations in the project of each caller."""

    def __init__(self, containers: SwiftContainers, settings: Settings) -> None:
        self._containers = containers
        self._max_age_seconds = settings.operation_max_age_seconds
        self.container = settings.operation_container
        in_store = 0 if settings.object_store == "s3" else settings.operation_object_max_bytes
        # Of a body, wherever it is kept.
        self.max_bytes = max(settings.operation_body_max_bytes, in_store)

    async def store_request(
        self, caller: Caller, operation_id: str, pieces: AsyncIterator[bytes], *, size: int | None, retention: int
    ) -> StoredObject:
        """Writes the body of a request, before its operation exists.

        Args:
            caller: whose container it is.
            operation_id: of the operation that it is for.
            pieces: of the body.
            size: in bytes, if it is known.
            retention: seconds that the operation is kept after its end.

        Raises:
            GatewayError: the store's; what `pieces` raises is raised, and nothing is written.
        """
        return await self._store(caller, f"{operation_id}/request", pieces, size, self._request_seconds(retention))

    async def store_result(
        self,
        caller: Caller,
        operation_id: str,
        pieces: AsyncIterator[bytes],
        *,
        fence: int,
        size: int | None,
        retention: int,
    ) -> StoredObject:
        """Writes the body of an answer, before its operation ends.

        `fence`: of the claim: a worker that was taken for dead never writes to the object of another. The others are
        those of `store_request`.

        Raises:
            GatewayError: as `store_request`.
        """
        seconds = RUN_SECONDS + retention + _MARGIN_SECONDS
        return await self._store(caller, f"{operation_id}/result-{fence}", pieces, size, seconds)

    async def _store(
        self, caller: Caller, name: str, pieces: AsyncIterator[bytes], size: int | None, seconds: int
    ) -> StoredObject:
        written = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal written
            async for piece in pieces:
                written += len(piece)
                yield piece

        ref = ObjectRef(self.container, name)
        etag = await self._containers.upload(caller, ref, counted(), size=size, seconds=seconds)
        return StoredObject(container=self.container, name=name, etag=etag, size=written)

    @contextlib.asynccontextmanager
    async def opening(self, caller: Caller, stored: StoredObject) -> AsyncIterator[OpenedFile]:
        """Opens a body, if it is still the one that was written.

        Raises:
            GatewayError: OBJECT_CHANGED, also if it is gone; the store's others. While reading: OBJECT_TRUNCATED.
        """
        async with contextlib.AsyncExitStack() as stack:
            with _changed():
                found = await stack.enter_async_context(
                    self._containers.opening(caller, _ref(stored), etag=stored.etag)
                )
            if (found.etag, found.size) != (stored.etag, stored.size):
                raise GatewayError(ErrorCode.OBJECT_CHANGED)
            yield found

    async def keep_request(self, caller: Caller, stored: StoredObject, *, retention: int) -> None:
        """Lets the body of a request live for as long as a new one.

        Raises:
            GatewayError: as `opening`.
        """
        seconds = self._request_seconds(retention)
        with _changed():
            await self._containers.postpone_expiry(caller, _ref(stored), etag=stored.etag, seconds=seconds)

    async def delete(self, caller: Caller, stored: StoredObject) -> None:
        """Deletes a body that nobody needs any more. Never raises: what is left expires by itself."""
        try:
            await self._containers.delete(caller, _ref(stored))
        except GatewayError as error:
            log.info("the object %s is left to its expiry: %s", stored.name, error.kind.code)

    def _request_seconds(self, retention: int) -> int:
        return self._max_age_seconds + RUN_SECONDS + retention + _MARGIN_SECONDS


@contextlib.contextmanager
def _changed() -> Iterator[None]:
    try:
        yield
    except GatewayError as error:
        if error.kind not in _CHANGED:
            raise
        raise GatewayError(ErrorCode.OBJECT_CHANGED) from error


def _ref(stored: StoredObject) -> ObjectRef:
    return ObjectRef(stored.container, stored.name)


def refusal_of_writing(error: GatewayError) -> str | None:
    """Why the store does not take a body, in words; None if it gave no answer that would last."""
    return {
        ErrorCode.OBJECT_FORBIDDEN: "this authority may not write there",
        ErrorCode.OBJECT_DENIED_BY_RULE: "the access rules of the application credential do not allow it",
        ErrorCode.OBJECT_QUOTA_EXCEEDED: "the quota of the account or the container is exhausted",
    }.get(error.kind) or (str(error.words.get("why")) if error.kind is ErrorCode.OBJECT_UNSUPPORTED else None)
