"""The response of a call: the result of its work, or the error that ended it."""

from collections.abc import Coroutine
from typing import Any

from starlette.responses import Response

from gateway.errors import GatewayError, error_response
from gateway.http.context import RequestContext
from gateway.http.disconnect import CallerGoneError
from gateway.telemetry.outcome import CALLER_GONE, GONE


async def answer_or_error(
    context: RequestContext, work: Coroutine[Any, Any, Response], *, plain_errors: bool = False
) -> Response:
    """The response; an error also goes to the log line.

    Args:
        context: of the call.
        work: raises GatewayError or CallerGoneError if there is no answer.
        plain_errors: whether an error is sent as one sentence of plain text.
    """
    try:
        return await work
    except CallerGoneError:
        # Nobody reads this; the log line says 499 of its own.
        context.log.error = GONE
        return Response(status_code=CALLER_GONE)
    except GatewayError as error:
        return failure(context, error, plain=plain_errors)


def failure(context: RequestContext, error: GatewayError, *, plain: bool = False) -> Response:
    """The response to a request that ends with an error, which is logged with it."""
    context.log.fail(error)
    if error.reached is not None:
        context.limits[error.reached.name] = error.reached
    return error_response(error, request_id=context.request_id, plain=plain)
