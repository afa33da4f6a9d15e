"""Bodies of requests: read with a bound, and only after the caller is known."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.disconnect import CallerGoneError


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The body.

    Raises:
        GatewayError: REQUEST_BODY_TOO_LARGE, as soon as the limit is exceeded.
        CallerGoneError: the caller disconnected before the end of the body.
    """
    body = bytearray()
    async for piece in body_pieces(request, max_bytes=max_bytes):
        body += piece
    return bytes(body)


async def body_pieces(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The pieces of the body as they arrive.

    Raises:
        GatewayError, CallerGoneError: as `read_body`.
    """
    length = request.headers.get("content-length", "0")
    if int(length) > max_bytes:
        raise _too_large(max_bytes)
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            yield piece
    except ClientDisconnect as error:
        raise CallerGoneError from error
    finally:
        if (usage := context_of(request.scope).usage) is not None:
            usage.request_bytes += size


def json_of(body: bytes) -> Any:
    """Parses a body as JSON in UTF-8.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the body is not JSON in UTF-8") from error


def _too_large(max_bytes: int) -> GatewayError:
    # The rest of the body is not read, so the connection cannot carry another request.
    return GatewayError(ErrorCode.REQUEST_BODY_TOO_LARGE, limit=max_bytes, headers={"Connection": "close"})
