"""The answer to a request that prefers an asynchronous one: 202 after the commit, or the answer if it came in time."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from starlette.responses import Response

from gateway.calls.call import Call
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.json_text import json_bytes
from gateway.operations.document import operation_document
from gateway.operations.long_requests import LongRequests
from gateway.operations.preference import AsyncPreference, async_preference
from gateway.operations.request import request_to_store
from gateway.operations.results import Results
from gateway.operations.service import AsyncCall, Operations, store_errors
from operations.store import accepting
from operations.store.model import Operation

INVOKE, CHECKSUMS = "invoke", "checksums"
_ACCEPTED = 202
# Idempotent (RFC 9110, 9.2.2): may be repeated after the request was sent.
_REPEATABLE_METHODS = frozenset(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])

# The pieces of a body that is at most so long; they raise REQUEST_BODY_TOO_LARGE.
OpenBody = Callable[[int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """What there is with a database.

    Attributes:
        long_requests: accepts calls whose bodies are objects.
    """

    operations: Operations
    long_requests: LongRequests
    results: Results


class AsyncCalls:
    """Accepts calls for the routes that can be asynchronous; without a database it rejects them."""

    def __init__(self, durable: Durable | None, *, body_max_bytes: int) -> None:
        """`body_max_bytes`: of a body in the database."""
        self._durable = durable
        self._body_max_bytes = body_max_bytes

    def preference(self, head: RequestHead) -> AsyncPreference | None:
        """The caller's preference, checked; None if the answer is wanted now.

        Raises:
            GatewayError: OPERATION_NOT_CONFIGURED, CALLBACK_REJECTED, REQUEST_MALFORMED.
        """
        found = async_preference(head)
        if found is None:
            return None
        if self._durable is None:
            raise GatewayError(ErrorCode.OPERATION_NOT_CONFIGURED)
        self._durable.operations.check(found)
        return found

    async def accept(
        self,
        call: Call,
        preference: AsyncPreference,
        *,
        kind: str,
        subject: str,
        open_body: OpenBody | None = None,
    ) -> Operation:
        """Accepts an admitted call; what it is about has been checked. The call holds a slot meanwhile.

        Args:
            call: admitted.
            preference: of the caller.
            kind: `INVOKE` or `CHECKSUMS`.
            subject: what it is about, for people.
            open_body: of the request; None: there is no body.

        Raises:
            GatewayError: as `Operations.accept` and `LongRequests.accept`; OPERATION_BODY_TOO_LARGE.
            CallerGoneError: the caller disconnected in the middle of the body.
        """
        head, durable = call.context.head, self._durable
        assert head is not None
        assert durable is not None
        wanted = AsyncCall(
            kind=kind,
            subject=subject,
            repeatable=kind == CHECKSUMS or head.method in _REPEATABLE_METHODS,
            request=request_to_store(head, b"", preference),
            preference=preference,
        )
        # The slot bounds the bodies in memory, and those that arrive slowly.
        async with durable.operations.slot(call):
            try:
                operation = await self._accept(durable, call, wanted, open_body)
            except GatewayError as error:
                if open_body is None:
                    raise
                # A body that was not read to its end must not be taken for the next request.
                raise error.with_headers({"Connection": "close"}) from error.__cause__
        call.context.log.operation = operation.id
        return operation

    async def _accept(self, durable: Durable, call: Call, wanted: AsyncCall, open_body: OpenBody | None) -> Operation:
        if open_body is None:
            return await durable.operations.accept(call, wanted)
        try:
            pieces = open_body(durable.long_requests.max_bytes)
            first = await _beginning(pieces, self._body_max_bytes)
            if len(first) > self._body_max_bytes:
                return await durable.long_requests.accept(call, wanted, first, pieces)
        except GatewayError as error:
            if error.kind is not ErrorCode.REQUEST_BODY_TOO_LARGE:
                raise
            raise GatewayError(ErrorCode.OPERATION_BODY_TOO_LARGE, limit=error.words["limit"]) from error
        return await durable.operations.accept(call, replace(wanted, request=replace(wanted.request, body=first)))

    async def answer(self, call: Call, operation: Operation, preference: AsyncPreference) -> Response:
        """The 202, or the answer itself if it comes while the caller waits."""
        assert self._durable is not None
        operations, seconds = self._durable.operations, preference.wait_seconds
        if seconds and await operations.finished_within(operation.id, seconds):
            with store_errors():
                result = await operations.database.run(accepting.result_of, operation.id)
            if result is not None:
                return self._durable.results.response(call, result)
        return accepted(operation)


async def _beginning(pieces: AsyncIterator[bytes], most: int) -> bytes:
    """The whole body, or more than `most` bytes of it."""
    found = bytearray()
    async for piece in pieces:
        found += piece
        if len(found) > most:
            break
    return bytes(found)


def accepted(operation: Operation) -> Response:
    """The 202 (RFC 7240, 4.1)."""
    fields = {
        **UNCACHEABLE,
        "Location": f"/v1/operations/{operation.id}",
        "Preference-Applied": "respond-async",
        "Retry-After": "1",
    }
    return Response(json_bytes(operation_document(operation)), _ACCEPTED, fields, media_type="application/json")
