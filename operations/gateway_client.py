"""The client of the gateway: sends the request of an operation as its caller, byte for byte.

It has the connections of the gateway's client of functions: a body is sent while the answer is read, so an answer that
comes before the end of a long body is seen, and the rest of the body is not sent.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from gateway.errors import GatewayError
from gateway.http.cors import PREFIX as CORS
from gateway.settings.upstream import FunctionSettings
from gateway.upstream.errors import CertificateRejectedError, NotConnectedError, UpstreamError
from gateway.upstream.pool import Origin, Pool
from gateway.upstream.reply import Reply
from gateway.upstream.request import Request as WireRequest
from gateway.upstream.request import request_head
from operations.store.model import Fields, Request, Result, StoredObject

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
# A gateway may think for as long as a function may take; it says itself when that is over.
_TIMEOUTS = FunctionSettings(
    function_connect_timeout_seconds=10, function_idle_timeout_seconds=3_600, function_timeout_seconds=7_200
)

Progress = Callable[[int, int], None]
# Keeps a body that is too long for the database; its size, if it is known before its end.
Keep = Callable[[AsyncIterator[bytes], int | None], Awaitable[StoredObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of a request that is not in the request itself: its size in bytes, and its pieces, read once."""

    size: int
    pieces: AsyncIterator[bytes]


class NotSentError(Exception):
    """No byte of the request was sent."""


class BrokenExchangeError(Exception):
    """The request may have been sent, and no complete answer came."""


class ResultTooLargeError(Exception):
    """The answer is longer than what is kept: `limit`, in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class ResultNotKeptError(Exception):
    """An answer came, and the object store did not take its body."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(error.message)
        self.error = error


class GatewayClient:
    """Sends requests to the gateway."""

    def __init__(self, url: str, *, cafile: str | None, memory_bytes: int, max_bytes: int) -> None:
        """`memory_bytes`: of an answer that is returned as bytes. `max_bytes`: of any."""
        self._origin = Origin.of(url)
        self._host = urlsplit(url).netloc.encode("ascii")
        self._memory_bytes = memory_bytes
        self._max_bytes = max_bytes
        self._pool = Pool(_TIMEOUTS, tls=ssl.create_default_context(cafile=cafile))

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    async def send(
        self,
        operation_id: str,
        request: Request,
        token: str,
        progress: Progress,
        *,
        body: Body | None = None,
        keep: Keep,
    ) -> Result:
        """The answer to a request.

        Args:
            operation_id: all attempts at an operation are one call in the gateway's log and usage records.
            request: of the operation.
            token: of its trust.
            progress: called with the bytes and the lines that have arrived.
            body: in place of the request's own.
            keep: gets the body of an answer that is too long for memory.

        Raises:
            NotSentError: there is no connection.
            BrokenExchangeError: the connection, or the body of the request, ended before the end of the answer.
            ResultTooLargeError: the answer is too long; its rest was not read.
            ResultNotKeptError: `keep` has failed.
        """
        wire = self._wire_request(operation_id, request, token, body)
        try:
            reply = await self._pool.send(self._origin, wire)
        except (NotConnectedError, CertificateRejectedError) as error:
            raise NotSentError(repr(error)) from error
        except (UpstreamError, GatewayError) as error:  # the latter from the pieces of the body
            raise BrokenExchangeError(repr(error)) from error
        try:
            found, stored = await self._answer(reply, progress, keep)
        finally:
            reply.close()
        return Result(status=reply.status, fields=_kept(reply.fields), body=found, stored=stored)

    def _wire_request(self, operation_id: str, request: Request, token: str, body: Body | None) -> WireRequest:
        size = len(request.body) if body is None else body.size
        fields = [
            (b"host", self._host),
            *request.fields,
            (b"x-auth-token", token.encode("ascii")),
            (b"accept-encoding", b"identity"),
            (b"x-openstack-request-id", f"req-{operation_id}".encode("ascii")),
        ]
        if size or request.method in {"POST", "PUT", "PATCH"}:
            fields.append((b"content-length", b"%d" % size))
        head = request_head(request.method, request.target, fields)
        if body is None:
            return WireRequest(head + request.body, request.method)
        return WireRequest(head, request.method, body.pieces, size)

    async def _answer(self, reply: Reply, progress: Progress, keep: Keep) -> tuple[bytes, StoredObject | None]:
        first, pieces = bytearray(), self._pieces(reply, progress)
        async for piece in pieces:
            first += piece
            if len(first) > self._memory_bytes:
                given = reply.field(b"content-length")
                size = int(given) if given else None
                # The answer to a HEAD, which has a length and no body, does not come here.
                if size is not None and size > self._max_bytes:
                    raise ResultTooLargeError(self._max_bytes)
                try:
                    return b"", await keep(_joined(bytes(first), pieces), size)
                except GatewayError as error:
                    raise ResultNotKeptError(error) from error
        return bytes(first), None

    async def _pieces(self, reply: Reply, progress: Progress) -> AsyncIterator[bytes]:
        size = lines = 0
        try:
            async for piece in reply.pieces():
                size += len(piece)
                lines += piece.count(b"\n")
                if size > self._max_bytes:
                    raise ResultTooLargeError(self._max_bytes)
                progress(size, lines)
                yield piece
        except (UpstreamError, GatewayError) as error:  # the latter from the body, which may still be sent
            raise BrokenExchangeError(repr(error)) from error


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _kept(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    # Which page may read an answer is decided when one asks for it.
    return tuple(field for field in fields if field[0] not in _NOT_KEPT and not field[0].startswith(CORS))
