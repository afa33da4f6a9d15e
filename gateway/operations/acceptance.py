"""The answer to a request that prefers an asynchronous one: 202 after the commit, or the answer if it came in time."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from gateway.calls.call import Call
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.json_text import json_bytes
from gateway.operations.document import operation_document
from gateway.operations.preference import AsyncPreference, async_preference
from gateway.operations.request import request_to_store
from gateway.operations.service import AsyncCall, Operations, store_errors
from operations.store import accepting
from operations.store.model import Operation, Result

INVOKE, CHECKSUMS = "invoke", "checksums"
_ACCEPTED = 202
# Idempotent (RFC 9110, 9.2.2): may be repeated after the request was sent.
_REPEATABLE_METHODS = frozenset(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
_NOT_SENT_AGAIN = frozenset([b"content-length", b"transfer-encoding"])

ReadBody = Callable[[int], Awaitable[bytes]]


class AsyncCalls:
    """Accepts calls for the routes that can be asynchronous; without a database it rejects them."""

    def __init__(self, operations: Operations | None, *, body_max_bytes: int) -> None:
        self._operations = operations
        self._body_max_bytes = body_max_bytes

    def preference(self, head: RequestHead) -> AsyncPreference | None:
        """The caller's preference, checked; None if the answer is wanted now.

        Raises:
            GatewayError: OPERATION_NOT_CONFIGURED, CALLBACK_REJECTED, REQUEST_MALFORMED.
        """
        found = async_preference(head)
        if found is None:
            return None
        if self._operations is None:
            raise GatewayError(ErrorCode.OPERATION_NOT_CONFIGURED)
        self._operations.check(found)
        return found

    async def accept(
        self,
        call: Call,
        preference: AsyncPreference,
        *,
        kind: str,
        subject: str,
        read_body: ReadBody | None = None,
    ) -> Operation:
        """Accepts an admitted call; what it is about has been checked.

        Args:
            call: admitted.
            preference: of the caller.
            kind: `INVOKE` or `CHECKSUMS`.
            subject: what it is about, for people.
            read_body: reads at most so many bytes; None: there is no body.

        Raises:
            GatewayError: as `Operations.accept`; OPERATION_BODY_TOO_LARGE.
            CallerGoneError: the caller disconnected in the middle of the body.
        """
        head, operations = call.context.head, self._operations
        assert head is not None
        assert operations is not None
        body = b"" if read_body is None else await self._body(read_body)
        wanted = AsyncCall(
            kind=kind,
            subject=subject,
            repeatable=kind == CHECKSUMS or head.method in _REPEATABLE_METHODS,
            request=request_to_store(head, body, preference),
            preference=preference,
        )
        operation = await operations.accept(call, wanted)
        call.context.log.operation = operation.id
        return operation

    async def answer(self, operation: Operation, preference: AsyncPreference) -> Response:
        """The 202, or the answer itself if it comes while the caller waits."""
        operations = self._operations
        assert operations is not None
        seconds = preference.wait_seconds
        if seconds and await operations.finished_within(operation.id, seconds):
            with store_errors():
                result = await operations.database.run(accepting.result_of, operation.id)
            if result is not None:
                return result_response(result)
        return accepted(operation)

    async def _body(self, read_body: ReadBody) -> bytes:
        try:
            return await read_body(self._body_max_bytes)
        except GatewayError as error:
            if error.kind is not ErrorCode.REQUEST_BODY_TOO_LARGE:
                raise
            raise GatewayError(
                ErrorCode.OPERATION_BODY_TOO_LARGE, limit=self._body_max_bytes, headers={"Connection": "close"}
            ) from error


def accepted(operation: Operation) -> Response:
    """The 202 (RFC 7240, 4.1)."""
    fields = {
        **UNCACHEABLE,
        "Location": f"/v1/operations/{operation.id}",
        "Preference-Applied": "respond-async",
        "Retry-After": "1",
    }
    return Response(json_bytes(operation_document(operation)), _ACCEPTED, fields, media_type="application/json")


def result_response(result: Result) -> Response:
    """The answer to the request, as it would have come at once."""
    response = Response(result.body, result.status)
    own = [field for field in response.raw_headers if field[0] == b"content-length"]
    response.raw_headers = [*(field for field in result.fields if field[0] not in _NOT_SENT_AGAIN), *own]
    return response
