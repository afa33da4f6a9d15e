"""Calls whose bodies are too long for the database: the body is an object of the caller's project before the 202."""

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.operations.objects import OperationObjects, refusal_of_writing
from gateway.operations.request import BodyDigest
from gateway.operations.service import AsyncCall, Operations
from operations.store.model import Operation, StoredObject, new_id


class LongRequests:
    """Accepts calls with long bodies, which pass by in pieces."""

    def __init__(self, operations: Operations, objects: OperationObjects, admission: Admission) -> None:
        self._operations = operations
        self._objects = objects
        self._admission = admission

    @property
    def max_bytes(self) -> int:
        """Maximum size of a body; that of one in the database, if no longer ones are accepted."""
        return self._objects.max_bytes

    async def accept(self, call: Call, wanted: AsyncCall, first: bytes, rest: AsyncIterator[bytes]) -> Operation:
        """Accepts a call whose body is an object.

        Args:
            call: admitted, with a slot.
            wanted: without the body.
            first: the beginning of the body.
            rest: of the body.

        Raises:
            GatewayError: as `Operations.accept`; OPERATION_STORAGE_REFUSED, STORE_UNAVAILABLE, TOKEN_INVALID. Nothing
                is left in the store then, except if it is not known whether the call was accepted.
            CallerGoneError: from `rest`.
        """
        digest = BodyDigest()
        pieces = digest.through(_joined(first, rest))
        if await self._operations.knows_key(call, wanted.preference):
            # The digest says which answer it gets; nothing is written.
            async for _ in pieces:
                pass
            return await self._operations.replay(call, replace(wanted, body_digest=digest.value()))
        # What can be refused is refused before the body is read.
        await self._operations.prepare(call, wanted)
        operation_id = new_id()
        stored = await self._store(call, wanted, operation_id, pieces)
        long = replace(wanted, request=replace(wanted.request, stored=stored), body_digest=digest.value())
        try:
            operation = await self._operations.accept(call, long, operation_id=operation_id)
        except GatewayError as error:
            # If the database did not answer, the call may have been accepted, and needs its body.
            if error.kind is not ErrorCode.OPERATION_STORE_UNAVAILABLE:
                await self._objects.delete(call.caller, stored)
            raise
        if operation.id != operation_id:
            # The same request was accepted meanwhile.
            await self._objects.delete(call.caller, stored)
        return operation

    async def _store(
        self, call: Call, wanted: AsyncCall, operation_id: str, pieces: AsyncIterator[bytes]
    ) -> StoredObject:
        assert call.context.head is not None
        lengths = call.context.head.all(b"content-length")
        try:
            return await self._objects.store_request(
                call.caller,
                operation_id,
                pieces,
                size=int(lengths[0]) if lengths else None,
                retention=self._operations.retention_seconds(wanted.preference),
            )
        except GatewayError as error:
            if error.kind is ErrorCode.TOKEN_INVALID:
                error = self._admission.token_rejected(call, error)
            why = refusal_of_writing(error)
            if why is None:
                raise error from error.__cause__
            raise GatewayError(
                ErrorCode.OPERATION_STORAGE_REFUSED, container=self._objects.container, why=why
            ) from error


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
