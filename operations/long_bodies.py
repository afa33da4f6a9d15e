"""Bodies of operations in the object store, for a worker: read, written and deleted by the trust of the operation."""

import contextlib
import logging
from collections.abc import AsyncIterator

from gateway.errors import GatewayError
from gateway.identity.trusts import TrustRefusedError
from gateway.operations.objects import OperationObjects
from operations.authority import TrustCallers
from operations.gateway_client import Body
from operations.store.model import Claim, StoredObject

log = logging.getLogger(__name__)


class LongBodies:
    """Bodies that are too long for the database."""

    def __init__(self, objects: OperationObjects, callers: TrustCallers) -> None:
        self._objects = objects
        self._callers = callers

    @property
    def container(self) -> str:
        """Where answers are kept."""
        return self._objects.container

    @contextlib.asynccontextmanager
    async def request(self, claim: Claim) -> AsyncIterator[Body | None]:
        """The body of a request, if it is the one that was accepted; None if it is in the database.

        Raises:
            TrustRefusedError: Keystone rejects the trust.
            GatewayError: OBJECT_CHANGED, OBJECT_FORBIDDEN, STORE_UNAVAILABLE and others.
        """
        stored = claim.request.stored
        if stored is None:
            yield None
            return
        caller = await self._callers.caller(claim.trust_id)
        async with self._objects.opening(caller, stored) as found:
            yield Body(size=found.size, pieces=found.pieces)

    async def keep_result(self, claim: Claim, pieces: AsyncIterator[bytes], *, size: int | None) -> StoredObject:
        """Writes the body of an answer. `size`: None: not known before its end.

        Raises:
            TrustRefusedError, GatewayError: as `request`.
        """
        caller = await self._callers.caller(claim.trust_id)
        retention = claim.retention_ms // 1000
        return await self._objects.store_result(
            caller, claim.id, pieces, fence=claim.fence, size=size, retention=retention
        )

    async def delete(self, claim: Claim, stored: StoredObject | None) -> None:
        """Deletes a body that nobody needs any more, if there is one. Never raises: what is left expires by itself."""
        if stored is None:
            return
        try:
            await self._objects.delete(await self._callers.caller(claim.trust_id), stored)
        except (TrustRefusedError, GatewayError):
            log.info("the object %s is left to its expiry: there is no authority to delete it", stored.name)
