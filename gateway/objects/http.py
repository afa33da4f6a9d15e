"""HTTP client of object stores: exact bytes, and failures as `GatewayError`."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import yarl

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.allowlist import StoreAllowlist
from gateway.objects.model import is_same_etag, is_weak
from gateway.telemetry.trace import outgoing

log = logging.getLogger(__name__)

OK, CREATED, ACCEPTED, NO_CONTENT = 200, 201, 202, 204
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, PRECONDITION_FAILED = 400, 401, 403, 404, 412
CONFLICT, TOO_LARGE = 409, 413
_REFUSALS = {
    UNAUTHORIZED: ErrorCode.TOKEN_INVALID,
    FORBIDDEN: ErrorCode.OBJECT_FORBIDDEN,
    NOT_FOUND: ErrorCode.OBJECT_NOT_FOUND,
    PRECONDITION_FAILED: ErrorCode.OBJECT_CHANGED,
    TOO_LARGE: ErrorCode.OBJECT_QUOTA_EXCEEDED,
}
# A proxy that compresses an object sends a weak ETag.
AS_STORED = {"Accept-Encoding": "identity"}
_FIRST_OF_THE_SERVER = 500
_PARTIAL, _RANGE_NOT_SATISFIABLE = 206, 416
# A range that begins with the first byte (RFC 9110, 14.4).
_FROM_THE_BEGINNING = re.compile(r"bytes 0-([0-9]{1,19})/([0-9]{1,19})")


class StoreFailureError(GatewayError):
    """The store fails: no answer, or a 5xx."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.STORE_UNAVAILABLE)


class StoreUnreachableError(StoreFailureError):
    """The store gave no answer; a 5xx may concern one object only."""


class StoreClient:
    """Sends requests to a store unchanged: no redirect, no decoding, no change of the path."""

    def __init__(
        self, session: aiohttp.ClientSession, *, timeout_seconds: float, allowlist: StoreAllowlist | None = None
    ) -> None:
        self._session = session
        self._allowlist = allowlist
        # To connect and to answer. Without it a slow head has no time limit.
        self._head_seconds = 2 * timeout_seconds
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=timeout_seconds, sock_connect=timeout_seconds, sock_read=timeout_seconds
        )
        # The time between two reads would begin with the store's 100, at the start of the body; see `UploadBody`.
        self._upload_timeout = aiohttp.ClientTimeout(total=None, connect=timeout_seconds, sock_connect=timeout_seconds)

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], *, data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, its body unread. `data`: the body of the request.

        Raises:
            GatewayError: STORE_UNAVAILABLE, if there is none; OBJECT_UNSUPPORTED for a store that is not allowed.
        """
        if self._allowlist is not None:
            self._allowlist.check_allowed(url)
        try:
            async with asyncio.timeout(self._head_seconds):
                response = await self._request(method, url, headers, data)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        try:
            yield response
        finally:
            response.release() if method == "HEAD" else response.close()

    @contextlib.asynccontextmanager
    async def uploading(
        self, url: str, headers: Mapping[str, str], pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a PUT whose body is streamed. A store that refuses it at once gets none of it.

        Raises:
            GatewayError: as `exchange`. What `pieces` raises is raised, and the store keeps nothing.
        """
        if self._allowlist is not None:
            self._allowlist.check_allowed(url)
        body: UploadBody | None = None
        try:
            async with asyncio.timeout(self._head_seconds) as limit:
                body = UploadBody(pieces, limit, self._head_seconds)
                response = await self._request("PUT", url, headers, body.pieces(), streamed=True)
        except (aiohttp.ClientError, TimeoutError) as error:
            if body is not None and body.failure is not None:
                raise body.failure from None
            raise _unreachable(error) from error
        try:
            yield response
        finally:
            response.close()

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | AsyncIterator[bytes] | None,
        *,
        streamed: bool = False,
    ) -> aiohttp.ClientResponse:
        with outgoing("store") as trace_fields:
            return await self._session.request(
                method,
                yarl.URL(url, encoded=True),
                headers={**headers, **trace_fields},
                data=data,
                allow_redirects=False,
                timeout=self._upload_timeout if streamed else self._timeout,
                # A store that refuses the request gets none of the body, which can be sent once only.
                expect100=streamed,
            )

    @contextlib.asynccontextmanager
    async def reading(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        etag: str,
        size: int,
        refusal: Callable[[int], GatewayError],
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an object that still has this ETag and size.

        Args:
            url: the object's URL.
            headers: those of `conditions(etag)`, and the authorisation.
            etag: as in `etag_of`.
            size: bytes.
            refusal: maps a status other than 200 to an error.

        Raises:
            GatewayError: the error of `refusal`, STORE_UNAVAILABLE, OBJECT_CHANGED; while reading also
                OBJECT_TRUNCATED.
        """
        async with self.exchange("GET", url, headers) as response:
            if response.status != OK:
                raise refusal(response.status)
            if not is_same_etag(etag_of(response.headers.get("Etag", "")), etag):
                raise GatewayError(ErrorCode.OBJECT_CHANGED)
            yield read_pieces(response, size)


class UploadBody:
    """The pieces of an upload. The store's time runs only while the store is waited for, not the source.

    Attributes:
        failure: what the source raised; the HTTP client would call it a failure of the connection.
    """

    def __init__(self, source: AsyncIterator[bytes], limit: asyncio.Timeout, seconds: float) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._limit = limit
        self._seconds = seconds

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body."""
        self._wait_for_store(wanted=False)
        try:
            async for piece in self._source:
                self._wait_for_store(wanted=True)
                yield piece
                self._wait_for_store(wanted=False)
        except Exception as error:
            self.failure = error
            raise
        self._wait_for_store(wanted=True)

    def _wait_for_store(self, *, wanted: bool) -> None:
        # The store may have answered before the end of the body; then no time runs any more.
        with contextlib.suppress(RuntimeError):
            self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds if wanted else None)


def _unreachable(error: Exception) -> GatewayError:
    log.warning("the object store cannot be reached: %r", error)
    if isinstance(error, aiohttp.ClientSSLError):
        return GatewayError(ErrorCode.STORE_UNAVAILABLE)  # a retry would get the same certificate
    return StoreUnreachableError()


def etag_of(field: str) -> str:
    """The ETag in a header field: a strong one without its quotes, a weak one as it is (RFC 9110, 8.8.3)."""
    field = field.strip()
    return field if is_weak(field) else field.strip('"')


def auth(caller: Caller) -> dict[str, str]:
    """The header field with the caller's token."""
    return {"X-Auth-Token": caller.token}


def conditions(etag: str) -> dict[str, str]:
    """Header fields that request exactly the bytes of an ETag.

    A weak ETag matches no condition; then only the ETag of the answer is compared, as always.
    """
    return {**if_match(etag), **AS_STORED}


def if_match(etag: str) -> dict[str, str]:
    """The condition that the object still has this ETag; empty for a weak one, which matches no condition."""
    return {} if is_weak(etag) else {"If-Match": f'"{etag}"'}


def if_absent(*, new: bool) -> dict[str, str]:
    """The condition that there is no such object yet, if the object is to be a new one."""
    return {"If-None-Match": "*"} if new else {}


async def read_pieces(response: aiohttp.ClientResponse, size: int) -> AsyncIterator[bytes]:
    """Yields the body, which must be `size` bytes long.

    Raises:
        GatewayError: OBJECT_TRUNCATED.
    """
    read = 0
    try:
        async for piece in response.content.iter_any():
            read += len(piece)
            yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GatewayError(ErrorCode.OBJECT_TRUNCATED) from error
    if read != size:
        raise GatewayError(ErrorCode.OBJECT_TRUNCATED)


def whole_size(response: aiohttp.ClientResponse) -> int | None:
    """Size of the object of a GET; None if the body is only a part of it, or the size is unknown."""
    if response.status == _PARTIAL:
        given = _FROM_THE_BEGINNING.fullmatch(response.headers.get("Content-Range", ""))
        size = int(given[2]) if given and int(given[1]) + 1 == int(given[2]) else None
    else:
        size = response.content_length if response.status == OK else None
    return size if size == response.content_length else None


def has_content(status: int) -> bool:
    """Whether a status answers a GET of a range, also of an empty object."""
    return status in {OK, _PARTIAL, _RANGE_NOT_SATISFIABLE}


async def read_whole(response: aiohttp.ClientResponse, size: int) -> bytes:
    """The body, which must be `size` bytes long.

    Raises:
        GatewayError: OBJECT_TRUNCATED.
    """
    return b"".join([piece async for piece in read_pieces(response, size)])


def incomplete() -> GatewayError:
    """The error of a large object with missing segments. It persists until the owner repairs it."""
    why = "a segment of this large object is missing or differs from its manifest, so it cannot be read completely"
    return GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why=why)


def is_retryable(status: int) -> bool:
    """Whether a failed write may succeed later or with another token: the failure is not about the object."""
    return status == UNAUTHORIZED or status >= _FIRST_OF_THE_SERVER


def refused(status: int) -> GatewayError:
    """The error for a status of the store."""
    if status == BAD_REQUEST:
        return GatewayError(ErrorCode.REQUEST_MALFORMED, why="the object store does not accept this name or version")
    kind = _REFUSALS.get(status)
    if kind is not None:
        return GatewayError(kind)
    log.warning("the object store returned %d", status)
    return StoreFailureError() if status >= _FIRST_OF_THE_SERVER else GatewayError(ErrorCode.STORE_UNAVAILABLE)
