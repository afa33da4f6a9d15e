"""Containers in Swift, and in stores with its API, accessed with the caller's token: lists, and objects of a sweep."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from msgspec import Struct

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.endpoints import account_of
from gateway.objects.http import (
    ACCEPTED,
    AS_STORED,
    CREATED,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    StoreClient,
    auth,
    conditions,
    etag_of,
    read_pieces,
    refused,
)
from gateway.objects.model import ObjectRef
from gateway.objects.swift import object_url
from gateway.settings.upstream import StoreSettings

PAGE = 1_000
# Relative, so that the clock of the store decides alone.
EXPIRY = "X-Delete-After"
# A browser that opens such an object runs nothing of it.
_OPAQUE = "application/octet-stream"
# A page of names of the greatest length, each character of which is escaped.
_MAX_PAGE_BYTES = 32 << 20


class Entry(Struct, frozen=True, gc=False):
    """An object in a list. `size` is 0 for a dynamic large object, whose ETag is that of an empty one."""

    name: str
    etag: str
    size: int
    last_modified: str

    @property
    def version(self) -> tuple[str, int, str]:
        """What changes when the object is written again."""
        return self.etag, self.size, self.last_modified


class _Listed(Struct, frozen=True, gc=False):
    """As `Entry`; a part of a name has none of the others."""

    name: str = ""
    hash: str = ""
    bytes: int = 0
    last_modified: str = ""


_PAGE = msgspec.json.Decoder(list[_Listed])


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStat:
    """What the store says of a container: counts that may lag behind."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """An object that is read from its beginning.

    Attributes:
        size: bytes.
        modified_ms: since the epoch; None if the store does not say.
        pieces: its bytes; they raise OBJECT_TRUNCATED.
    """

    etag: str
    size: int
    modified_ms: int | None
    pieces: AsyncIterator[bytes]


class SwiftContainers:
    """Containers of callers."""

    def __init__(self, client: StoreClient, settings: StoreSettings) -> None:
        self._client = client
        self._settings = settings

    async def stat(self, caller: Caller, container: str) -> ContainerStat:
        """The counts of a container.

        Raises:
            GatewayError: OBJECT_NOT_FOUND, OBJECT_FORBIDDEN, TOKEN_INVALID, STORE_UNAVAILABLE; so do all methods.
        """
        async with self._client.exchange("HEAD", self._url(caller, container), auth(caller)) as response:
            if response.status not in {OK, NO_CONTENT}:
                raise refused(response.status)
            counts = [
                response.headers.get(f"X-Container-{name}", "0").partition(".")[0]
                for name in ("Object-Count", "Bytes-Used")
            ]
            objects, size = (int(count) if count.isdecimal() else 0 for count in counts)
            return ContainerStat(objects=objects, bytes=size)

    async def page(self, caller: Caller, container: str, *, prefix: str, marker: str, limit: int = PAGE) -> list[Entry]:
        """The objects after the marker, in the order of the UTF-8 of their names; none: the list has ended."""
        query = urlencode({"format": "json", "limit": limit, "prefix": prefix, "marker": marker}, quote_via=quote)
        url = f"{self._url(caller, container)}?{query}"
        async with self._client.exchange("GET", url, {**auth(caller), **AS_STORED}) as response:
            if response.status == NO_CONTENT:
                return []
            if response.status != OK:
                raise refused(response.status)
            body = await _page_of(response)
        try:
            return [
                Entry(each.name, each.hash, each.bytes, each.last_modified) for each in _PAGE.decode(body) if each.name
            ]
        except msgspec.DecodeError as error:
            raise GatewayError(ErrorCode.STORE_UNAVAILABLE) from error

    async def create(self, caller: Caller, container: str) -> None:
        """Creates a container, unless there is one."""
        async with self._client.exchange("PUT", self._url(caller, container), auth(caller), data=b"") as response:
            if response.status not in {OK, CREATED, ACCEPTED, NO_CONTENT}:
                raise refused(response.status)

    async def put(self, caller: Caller, ref: ObjectRef, content: bytes, *, content_type: str) -> None:
        """Writes an object; if the container is missing, creates it first."""
        try:
            await self._put(caller, ref, content, content_type)
        except GatewayError as error:
            if error.kind is not ErrorCode.OBJECT_NOT_FOUND:
                raise
            await self.create(caller, ref.container)
            await self._put(caller, ref, content, content_type)

    async def _put(self, caller: Caller, ref: ObjectRef, content: bytes, content_type: str) -> None:
        headers = {**auth(caller), "Content-Type": content_type}
        url = object_url(self._account(caller), ref)
        async with self._client.exchange("PUT", url, headers, data=content) as response:
            if response.status != CREATED:
                raise refused(response.status)

    async def upload(
        self, caller: Caller, ref: ObjectRef, pieces: AsyncIterator[bytes], *, size: int | None, seconds: int
    ) -> str:
        """Writes an object that the store deletes after the seconds; returns its ETag.

        If the container is missing, creates it first. `size`: None: not known before the end.

        Raises:
            GatewayError: also OBJECT_QUOTA_EXCEEDED. What `pieces` raises is raised, and nothing is written.
        """
        begun = False

        async def watched() -> AsyncIterator[bytes]:
            nonlocal begun
            begun = True
            async for piece in pieces:
                yield piece

        try:
            return await self._upload(caller, ref, watched(), size, seconds)
        except GatewayError as error:
            if error.kind is not ErrorCode.OBJECT_NOT_FOUND:
                raise
        await self.create(caller, ref.container)
        if begun:
            # Swift looks for the container before it asks for the body, but a proxy that buffers bodies asks for it
            # itself. What it has taken cannot be sent again: the store would take the rest for the whole.
            raise GatewayError(ErrorCode.STORE_UNAVAILABLE)
        return await self._upload(caller, ref, pieces, size, seconds)

    async def _upload(
        self, caller: Caller, ref: ObjectRef, pieces: AsyncIterator[bytes], size: int | None, seconds: int
    ) -> str:
        headers = {**auth(caller), "Content-Type": _OPAQUE, EXPIRY: str(seconds)}
        if size is not None:
            headers["Content-Length"] = str(size)
        url = object_url(self._account(caller), ref)
        async with self._client.uploading(url, headers, pieces) as response:
            if response.status != CREATED:
                raise refused(response.status)
            return etag_of(response.headers.get("Etag", ""))

    async def postpone_expiry(self, caller: Caller, ref: ObjectRef, *, etag: str, seconds: int) -> None:
        """Lets an object that expires live for these seconds from now on, if it has the ETag.

        Raises:
            GatewayError: also OBJECT_CHANGED.
        """
        url = object_url(self._account(caller), ref)
        async with self._client.exchange("HEAD", url, {**auth(caller), **conditions(etag)}) as response:
            if response.status not in {OK, NO_CONTENT}:
                raise refused(response.status)
            if etag_of(response.headers.get("Etag", "")) != etag:
                raise GatewayError(ErrorCode.OBJECT_CHANGED)
        fields = {**auth(caller), "Content-Type": _OPAQUE, EXPIRY: str(seconds)}
        async with self._client.exchange("POST", url, fields) as response:
            if response.status != ACCEPTED:
                raise refused(response.status)

    async def delete(self, caller: Caller, ref: ObjectRef) -> None:
        """Deletes an object; one that is not there is deleted."""
        async with self._client.exchange("DELETE", object_url(self._account(caller), ref), auth(caller)) as response:
            if response.status not in {OK, NO_CONTENT, NOT_FOUND}:
                raise refused(response.status)

    @contextlib.asynccontextmanager
    async def opening(self, caller: Caller, ref: ObjectRef, *, etag: str | None = None) -> AsyncIterator[OpenedFile]:
        """Opens an object, if it has the ETag.

        Raises:
            GatewayError: also OBJECT_CHANGED.
        """
        headers = {**auth(caller), **(AS_STORED if etag is None else conditions(etag))}
        async with self._client.exchange("GET", object_url(self._account(caller), ref), headers) as response:
            if response.status != OK or response.content_length is None:
                raise refused(response.status if response.status != OK else NOT_FOUND)
            size = response.content_length
            yield OpenedFile(
                etag=etag_of(response.headers.get("Etag", "")),
                size=size,
                modified_ms=_http_time_ms(response.headers.get("Last-Modified")),
                pieces=read_pieces(response, size),
            )

    def _url(self, caller: Caller, container: str) -> str:
        return f"{self._account(caller)}/{quote(container, safe='')}"

    def _account(self, caller: Caller) -> str:
        settings = self._settings
        return account_of(
            caller, interface=settings.interface, region=settings.region_name, configured=settings.swift_endpoint
        )


async def _page_of(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _MAX_PAGE_BYTES:
                raise GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="the list of the container is too long")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GatewayError(ErrorCode.STORE_UNAVAILABLE) from error
    return bytes(body)


def listed_time_ms(text: str) -> int | None:
    """A time of a list (`2026-11-29T20:00:00.123456`, UTC) in milliseconds since the epoch."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _http_time_ms(text: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(text or "").timestamp() * 1000)
    except (TypeError, ValueError):
        return None
