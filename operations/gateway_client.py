"""The client of the gateway: sends the request of an operation as its caller, byte for byte."""

import ssl
from collections.abc import Callable
from typing import Self

import httpx

from operations.store.model import Fields, Request, Result

# About the connection, or about this request to the gateway; the answer is given to its caller by another one.
_NOT_KEPT = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"date",
        b"server",
        b"x-openstack-request-id",
        b"ratelimit",
        b"ratelimit-policy",
    ]
)
_CONNECT_SECONDS = 10
# A gateway may think for as long as a function may take; it says itself when that is over.
_ANSWER_SECONDS = 3_600

Progress = Callable[[int, int], None]


class NotSentError(Exception):
    """No byte of the request was sent."""


class BrokenExchangeError(Exception):
    """The request may have been sent, and no complete answer came."""


class ResultTooLargeError(Exception):
    """The answer is longer than what is kept."""


class GatewayClient:
    """Sends requests to the gateway."""

    def __init__(self, url: str, *, cafile: str | None, connections: int, max_bytes: int) -> None:
        self._url = url
        self._max_bytes = max_bytes
        verify = ssl.create_default_context(cafile=cafile) if url.startswith("https:") else True
        self._client = httpx.AsyncClient(
            verify=verify,
            trust_env=False,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, operation_id: str, request: Request, token: str, progress: Progress) -> Result:
        """The answer to a request.

        Args:
            operation_id: all attempts at an operation are one call in the gateway's log and usage records.
            request: of the operation.
            token: of its trust.
            progress: called with the bytes and the lines that have arrived.

        Raises:
            NotSentError: there is no connection.
            BrokenExchangeError: the connection ended before the end of the answer.
            ResultTooLargeError: the answer is too long; its rest was not read.
        """
        fields = [
            *request.fields,
            (b"x-auth-token", token.encode("ascii")),
            (b"accept-encoding", b"identity"),
            (b"x-openstack-request-id", f"req-{operation_id}".encode("ascii")),
        ]
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            fields.append((b"content-length", b"%d" % len(request.body)))
        made = self._client.build_request(
            request.method,
            self._url,
            headers=fields,
            content=request.body or None,
            extensions={"target": request.target},
        )
        try:
            response = await self._client.send(made, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSentError(repr(error)) from error
        except httpx.HTTPError as error:
            raise BrokenExchangeError(repr(error)) from error
        try:
            body = await self._body(response, progress)
        except httpx.HTTPError as error:
            raise BrokenExchangeError(repr(error)) from error
        finally:
            await response.aclose()
        return Result(status=response.status_code, fields=_kept(response), body=body)

    async def _body(self, response: httpx.Response, progress: Progress) -> bytes:
        body, lines = bytearray(), 0
        async for piece in response.aiter_raw():
            body += piece
            lines += piece.count(b"\n")
            if len(body) > self._max_bytes:
                raise ResultTooLargeError
            progress(len(body), lines)
        return bytes(body)


def _kept(response: httpx.Response) -> Fields:
    return tuple((name.lower(), value) for name, value in response.headers.raw if name.lower() not in _NOT_KEPT)
