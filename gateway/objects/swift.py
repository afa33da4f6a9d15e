"""Objects in Swift, accessed with the caller's token."""

import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from urllib.parse import quote, unquote, urlsplit

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.access_rules import allows
from gateway.identity.caller import Caller
from gateway.objects.dialect import SWIFT, SwiftDialect
from gateway.objects.endpoints import account_of
from gateway.objects.http import (
    ACCEPTED,
    AS_STORED,
    CONFLICT,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    StoreClient,
    auth,
    conditions,
    etag_of,
    has_content,
    if_absent,
    if_match,
    incomplete,
    is_retryable,
    read_whole,
    refused,
    whole_size,
)
from gateway.objects.model import (
    ByteStream,
    Capability,
    ObjectKind,
    ObjectRef,
    ObjectStat,
    OpenedObject,
    SignedUrl,
    is_weak,
    weak,
)
from gateway.objects.stored import is_round_trippable, read_foreign, read_stored, write_stored
from gateway.objects.tempurl import sign
from gateway.objects.tempurl_keys import TempUrlKeys
from gateway.settings.upstream import StoreSettings

META = "x-object-meta-"
# A POST replaces all of these at once (Swift API, "Create or update object metadata"), and accepts no condition: an
# object that is uploaded at the same moment gets them too. Therefore `X-Delete-At`, which would delete that object, is
# not sent again; without it, a POST removes the expiry. So an object that expires is not written to.
_RESENT = frozenset(
    [
        "content-disposition",
        "content-encoding",
        "content-language",
        "cache-control",
        "expires",
        "x-object-manifest",
        "x-robots-tag",
    ]
)
_MD5 = re.compile(r"[0-9a-f]{32}")
# In access rules.
_SERVICE_TYPE = "object-store"

Presign = Callable[[Caller, ObjectRef, str, Mapping[str, str]], Awaitable[str | None]]


class SwiftStore:
    """`ObjectStore` on Swift and on other stores that have its API."""

    def __init__(
        self,
        client: StoreClient,
        settings: StoreSettings,
        presign: Presign,
        *,
        dialect: SwiftDialect = SWIFT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._presign = presign
        self._dialect = dialect
        self._keys = TempUrlKeys(client, set_key=settings.tempurl_set_key, of_containers=dialect.container_keys)
        self._clock = clock

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        account = self._account(caller)
        async with self._client.exchange("HEAD", object_url(account, ref), {**auth(caller), **AS_STORED}) as response:
            if response.status not in {OK, NO_CONTENT}:
                raise refused(response.status)
            headers = {name.lower(): value for name, value in response.headers.items()}
            _check_version(ref, headers)
            return stat_from(caller.project_id, account, ref, headers)

    @contextlib.asynccontextmanager
    async def opening(self, caller: Caller, ref: ObjectRef, max_bytes: int) -> AsyncIterator[OpenedObject | None]:
        account = self._account(caller)
        # As a range, so that Swift sends no more of a larger object.
        fields = {**auth(caller), **AS_STORED, "Range": f"bytes=0-{max_bytes - 1}"}
        async with self._client.exchange("GET", object_url(account, ref), fields) as response:
            if not has_content(response.status):
                raise refused(response.status)
            size = whole_size(response)
            if size is None:
                yield None
                return
            headers = {name.lower(): value for name, value in response.headers.items()}
            _check_version(ref, headers)
            stat = stat_from(caller.project_id, account, ref, headers)
            fits = size <= max_bytes and stat.kind is ObjectKind.PLAIN and not is_weak(stat.etag)
            yield OpenedObject(stat, lambda: read_whole(response, size)) if fits else None

    async def capabilities(self, caller: Caller, stat: ObjectStat, *, bound: bool = False) -> AsyncIterator[Capability]:
        condition = if_match(stat.etag) if bound else {}
        whole = stat.kind is ObjectKind.PLAIN
        for name in self._settings.capabilities:
            url = None
            if name == "tempurl":
                # The function reads with a condition, and has no way to compare the ETag itself first.
                if stat.kind is not ObjectKind.DYNAMIC_LARGE or self._dialect.conditional_dynamic:
                    url = await self._temp_url(caller, stat.account, stat.ref, "GET", whole=whole)
            elif name == "stream":
                yield ByteStream()
            # Through S3, Swift sends another ETag for a static large object, so the read would not be bound to it.
            elif stat.kind is not ObjectKind.STATIC_LARGE:
                url = await self._presign(caller, stat.ref, "GET", condition)
            if url is not None:
                yield SignedUrl(name, url, self._settings.capability_seconds, condition)

    @contextlib.asynccontextmanager
    async def reading(self, caller: Caller, stat: ObjectStat) -> AsyncIterator[AsyncIterator[bytes]]:
        unconditional = stat.kind is ObjectKind.DYNAMIC_LARGE and not self._dialect.conditional_dynamic
        headers = {**auth(caller), **(AS_STORED if unconditional else conditions(stat.etag))}
        url = object_url(stat.account, stat.ref)
        large = stat.kind is ObjectKind.STATIC_LARGE
        refusal = _refused_large if large else refused
        async with self._client.reading(url, headers, etag=stat.etag, size=stat.size, refusal=refusal) as pieces:
            yield self._with_diagnosis(pieces, url, headers, missing=_missing(stat)) if large else pieces

    async def _with_diagnosis(
        self, pieces: AsyncIterator[bytes], url: str, headers: Mapping[str, str], *, missing: int
    ) -> AsyncIterator[bytes]:
        """Yields the pieces; after a short read, requests the next byte, to detect a missing segment."""
        read = 0
        try:
            async for piece in pieces:
                read += len(piece)
                yield piece
        except GatewayError as error:
            if error.kind is ErrorCode.OBJECT_TRUNCATED:
                async with self._client.exchange("GET", url, {**headers, "Range": f"bytes={read}-{read}"}) as response:
                    if response.status == missing:
                        raise incomplete() from error
            raise

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        # Swift has no POST to a version.
        if stat.ref.version is not None or not stat.rewritable:
            return False
        values = write_stored(stat.stored, digests, etag=stat.etag, size=stat.size)
        headers = {**stat.metadata, **{META + name: value for name, value in values.items()}, **auth(caller)}
        async with self._client.exchange("POST", object_url(stat.account, stat.ref), headers) as response:
            if is_retryable(response.status):
                raise refused(response.status)
            return response.status == ACCEPTED

    async def write_url(self, caller: Caller, ref: ObjectRef, *, new: bool) -> SignedUrl | None:
        condition = if_absent(new=new)
        # The signature of a TempURL covers no field, so a presigned URL is better, whatever the order for reading is.
        for name in sorted(self._settings.capabilities, key=lambda name: name != "s3"):
            url = None
            if name == "s3":
                url = await self._presign(caller, ref, "PUT", condition)
            elif name == "tempurl":
                url = await self._temp_url(caller, self._account(caller), ref, "PUT")
            if url is not None:
                return SignedUrl(name, url, self._settings.capability_seconds, condition)
        return None

    def _account(self, caller: Caller) -> str:
        settings = self._settings
        return account_of(
            caller, interface=settings.interface, region=settings.region_name, configured=settings.swift_endpoint
        )

    async def _temp_url(
        self, caller: Caller, account: str, ref: ObjectRef, method: str, *, whole: bool = True
    ) -> str | None:
        # A signature covers no query: Swift ignores a version id, and would return the current version.
        if ref.version is not None:
            return None
        url = object_url(account, ref)
        # The holder of the URL must not be able to do more than the token: Swift knows no access rules of a URL.
        if not allows(caller, service_type=_SERVICE_TYPE, method=method, path=urlsplit(url).path):
            return None
        key = await self._keys.key(caller, account, ref.container, whole=whole)
        if key is None:
            return None
        expires_at = int(self._clock()) + self._settings.capability_seconds
        return sign(url, method=method, key=key, expires_at=expires_at, digest=self._settings.tempurl_digest)


def object_url(account: str, ref: ObjectRef) -> str:
    """The object's URL; names are percent-encoded byte by byte, except slashes of the object's name."""
    url = f"{account}/{quote(ref.container, safe='')}/{quote(ref.name, safe='/')}"
    return url if ref.version is None else f"{url}?version-id={quote(ref.version, safe='')}"


def stat_from(project_id: str, account: str, ref: ObjectRef, headers: Mapping[str, str]) -> ObjectStat:
    """Parses the header fields (names in lower case) of a HEAD.

    Raises:
        GatewayError: OBJECT_UNSUPPORTED, for a dynamic large object of so many segments that Swift returns
            neither an ETag nor a size: nothing would bind a digest to its content.
    """
    etag = etag_of(headers.get("etag", ""))
    length = headers.get("content-length", "")
    if "x-object-manifest" in headers:
        kind = ObjectKind.DYNAMIC_LARGE
    elif headers.get("x-static-large-object", "").lower() == "true":
        kind = ObjectKind.STATIC_LARGE
        # Swift compares each segment with its manifest, and sends the manifest's ETag. Ceph does neither: a segment
        # that is written again changes the content under the same ETag.
        if etag and "x-manifest-etag" not in headers:
            etag = weak(etag)
    else:
        kind = ObjectKind.PLAIN
    if not etag or not length.isdecimal():
        raise GatewayError(
            ErrorCode.OBJECT_UNSUPPORTED,
            why="the store returns no ETag or no size, as for dynamic large objects with too many segments",
        )
    size = int(length)
    meta = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    metadata = {name: value for name, value in headers.items() if name.startswith(META) or name in _RESENT}
    native = {"md5": etag} if kind is ObjectKind.PLAIN and _MD5.fullmatch(etag) else {}
    return ObjectStat(
        project_id=project_id,
        account=account,
        ref=ref,
        etag=etag,
        size=size,
        kind=kind,
        content_type=headers.get("content-type", "application/octet-stream"),
        last_modified=headers.get("last-modified"),
        native=native,
        stored=read_stored(meta, etag=etag, size=size),
        # The segments of a dynamic large object change without its metadata.
        foreign={} if kind is ObjectKind.DYNAMIC_LARGE else read_foreign(meta, etag=etag, size=size, native=native),
        metadata=metadata,
        rewritable=not is_weak(etag)
        and "x-delete-at" not in headers
        and is_round_trippable(metadata)
        and not _is_elsewhere(account, ref, headers.get("content-location")),
    )


def _check_version(ref: ObjectRef, headers: Mapping[str, str]) -> None:
    """Rejects an answer about another version: Ceph ignores the parameter, and answers for the current one.

    Raises:
        GatewayError: OBJECT_UNSUPPORTED.
    """
    if ref.version is not None and headers.get("x-object-version-id") != ref.version:
        raise GatewayError(
            ErrorCode.OBJECT_UNSUPPORTED, why="the object store has no versions in its Swift API, or not this one"
        )


def _missing(stat: ObjectStat) -> int:
    """Status of a read of a missing segment: of Swift, and of stores that do not compare segments with the manifest."""
    return NOT_FOUND if is_weak(stat.etag) else CONFLICT


def _is_elsewhere(account: str, ref: ObjectRef, location: str | None) -> bool:
    """Whether a HEAD is about another object, the target of a symlink: a POST would change the link itself.

    An object with versions is a link too, to itself: its location differs in the query only.
    """
    if location is None:
        return False
    return unquote(location.partition("?")[0]) != f"{urlsplit(account).path}/{ref.container}/{ref.name}"


def _refused_large(status: int) -> GatewayError:
    """As `refused`, for a static large object: Swift answers 409 if its first segment is missing."""
    return incomplete() if status == CONFLICT else refused(status)
