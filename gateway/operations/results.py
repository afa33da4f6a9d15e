"""The answer of an operation as it would have come at once; a long one is streamed from the caller's container."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.disconnect import CallerGoneError, unless_gone
from gateway.http.respond import failure
from gateway.limits.byte_charges import charged_read
from gateway.limits.limiter import ProjectLimiter
from gateway.operations.objects import OperationObjects
from gateway.telemetry.outcome import BROKEN, GONE
from operations.store.model import Fields, Result, StoredObject

_NOT_SENT_AGAIN = frozenset([b"content-length", b"transfer-encoding"])


class Results:
    """Makes responses of results."""

    def __init__(self, objects: OperationObjects, limiter: ProjectLimiter, admission: Admission) -> None:
        self._objects = objects
        self._limiter = limiter
        self._admission = admission

    def response(self, call: Call, result: Result) -> Response:
        """The response to a caller of the operation's project."""
        if result.stored is not None:
            return _StreamedResult(self, call, result, result.stored)
        response = Response(result.body, result.status)
        response.raw_headers = _fields(result, len(result.body))
        return response

    async def send(self, call: Call, result: Result, stored: StoredObject, send: Send) -> None:
        """Sends a result from the store, which is asked with the caller's own token and charged as any object.

        Raises:
            GatewayError: nothing has been sent: OPERATION_RESULT_CHANGED, OBJECT_FORBIDDEN, BYTES_EXCEEDED and others.
            BrokenResultError: the head has been sent.
        """
        slot, started = self._limiter.slot(call.subject), False
        try:
            async with (
                charged_read(self._limiter, call.subject, stored.size, slot),
                self._objects.opening(call.caller, stored) as found,
            ):
                await send(
                    {"type": "http.response.start", "status": result.status, "headers": _fields(result, stored.size)}
                )
                started = True
                async for piece in found.pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except GatewayError as error:
            if started:
                raise BrokenResultError from error
            raise self._explained(call, stored, error) from error

    def _explained(self, call: Call, stored: StoredObject, error: GatewayError) -> GatewayError:
        if error.kind is ErrorCode.OBJECT_CHANGED:
            return GatewayError(ErrorCode.OPERATION_RESULT_CHANGED, object=stored.path)
        return self._admission.token_rejected(call, error) if error.kind is ErrorCode.TOKEN_INVALID else error


class BrokenResultError(Exception):
    """A result ended before its end."""


class _StreamedResult(Response):
    """The response: it reads the store only when it is sent, and the caller's disconnect ends that."""

    def __init__(self, results: Results, call: Call, result: Result, stored: StoredObject) -> None:
        super().__init__(status_code=result.status)
        self._results = results
        self._call = call
        self._result = result
        self._stored = stored

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = self._call.context
        try:
            await unless_gone(receive, self._results.send(self._call, self._result, self._stored, send))
        except CallerGoneError:
            context.log.error = GONE
        except BrokenResultError as error:
            # An answer without an end makes the server cut the connection: the caller sees that something is missing.
            context.log.error, context.log.cause = BROKEN, repr(error.__cause__)[:200]
        except GatewayError as error:
            await failure(context, error)(scope, receive, send)


def _fields(result: Result, length: int) -> list[tuple[bytes, bytes]]:
    kept: Fields = tuple(field for field in result.fields if field[0] not in _NOT_SENT_AGAIN)
    return [*kept, *_length(result.status, length)]


def _length(status: int, length: int) -> Fields:
    # As Starlette: these have no body, and no length of one.
    return () if status < 200 or status in {204, 304} else ((b"content-length", b"%d" % length),)  # noqa: PLR2004
