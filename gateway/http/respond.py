"""The answer to a call: what the work makes, or the error that it ended with."""

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
    """The response, and in the log line what went wrong.

    Args:
        context: the call's.
        work: raises GatewayError or CallerGoneError if there is no answer.
        plain_errors: whether an error is a sentence of text.
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
    return error_response(error, request_id=context.request_id, plain=plain)
