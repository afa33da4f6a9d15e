"""Objects in S3, accessed with the caller's own EC2 credential of the project."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller
from gateway.objects.http import (
    AS_STORED,
    OK,
    PRECONDITION_FAILED,
    StoreClient,
    conditions,
    etag_of,
    if_absent,
    if_match,
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
from gateway.objects.s3 import Presigner
from gateway.objects.s3_checksums import native_digests
from gateway.objects.stored import is_round_trippable, read_foreign, read_stored, write_stored

META = "x-amz-meta-"
# A header field that only Ceph sends.
_RGW = "x-rgw-object-type"
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
_MULTIPART = re.compile(r"-[0-9]+$")
# A copy onto itself replaces all metadata, so these are sent with the user's.
_RESENT = frozenset(["cache-control", "content-disposition", "content-encoding", "content-language", "expires"])
# Properties that a copy would lose or change: an object with one of these is not rewritten.
_STORAGE_CLASS = "x-amz-storage-class"
_LOST = frozenset(
    [
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-website-redirect-location",
    ]
)


class S3Store:
    """`ObjectStore` on S3.

    The store decides by the EC2 credential, which has all roles of its user in the project. So tokens of application
    credentials are rejected: they could access more than they were granted.
    """

    def __init__(self, client: StoreClient, presigner: Presigner, capabilities: tuple[str, ...]) -> None:
        self._client = client
        self._presigner = presigner
        self._capabilities = capabilities

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        url, signed = await self._presigner.signed(caller, ref, "HEAD", {"x-amz-checksum-mode": "ENABLED"})
        # Unsigned: a proxy may change it.
        async with self._client.exchange("HEAD", url, {**signed, **AS_STORED}) as response:
            if response.status != OK:
                raise refused_by_s3(response.status)
            headers = {name.lower(): value for name, value in response.headers.items()}
        # Ceph shows large objects of its Swift API like plain ones, with an ETag that looks like an MD5.
        if _RGW in headers and not await self._binds(caller, ref, headers):
            headers["etag"] = weak(etag_of(headers["etag"]))
        return stat_from_s3(caller.project_id, self._presigner.endpoint(caller) or "", ref, headers)

    async def _binds(self, caller: Caller, ref: ObjectRef, headers: Mapping[str, str]) -> bool:
        """Whether the ETag of an object in Ceph is that of its content, and not of a manifest of segments.

        Conditions are compared with the ETag of the object that has the manifest: mostly that of an empty one.
        """
        etag = etag_of(headers.get("etag", ""))
        if not _MD5.fullmatch(etag):
            return True
        if etag == _MD5_OF_NOTHING and headers.get("content-length") != "0":
            return False
        url, signed = await self._presigner.signed(caller, ref, "HEAD", conditions(etag))
        async with self._client.exchange("HEAD", url, signed) as response:
            if response.status not in {OK, PRECONDITION_FAILED}:
                raise refused_by_s3(response.status)
            return response.status == OK

    @contextlib.asynccontextmanager
    async def opening(self, caller: Caller, ref: ObjectRef, max_bytes: int) -> AsyncIterator[OpenedObject | None]:
        # Not as a range: of a range, a store sends no checksum of the whole object.
        url, signed = await self._presigner.signed(caller, ref, "GET", {"x-amz-checksum-mode": "ENABLED"})
        async with self._client.exchange("GET", url, {**signed, **AS_STORED}) as response:
            if response.status != OK:
                raise refused_by_s3(response.status)
            size = whole_size(response)
            if size is None or size > max_bytes:
                yield None
                return
            headers = {name.lower(): value for name, value in response.headers.items()}
            stat = stat_from_s3(caller.project_id, self._presigner.endpoint(caller) or "", ref, headers)
            fits = stat.kind is ObjectKind.PLAIN and not is_weak(stat.etag)
            if _RGW in headers:
                fits = fits and await self._binds(caller, ref, headers)
            yield OpenedObject(stat, lambda: read_whole(response, size)) if fits else None

    async def capabilities(self, caller: Caller, stat: ObjectStat, *, bound: bool = False) -> AsyncIterator[Capability]:
        condition = if_match(stat.etag) if bound else {}
        for name in self._capabilities:
            if name == "s3":
                url = await self._presigner.presigned(caller, stat.ref, "GET", condition)
                if url is not None:
                    yield SignedUrl(name, url, self._presigner.capability_seconds, condition)
            elif name == "stream":
                yield ByteStream()

    async def write_url(self, caller: Caller, ref: ObjectRef, *, new: bool) -> SignedUrl | None:
        condition = if_absent(new=new)
        url = await self._presigner.presigned(caller, ref, "PUT", condition) if "s3" in self._capabilities else None
        return None if url is None else SignedUrl("s3", url, self._presigner.capability_seconds, condition)

    @contextlib.asynccontextmanager
    async def reading(self, caller: Caller, stat: ObjectStat) -> AsyncIterator[AsyncIterator[bytes]]:
        url, signed = await self._presigner.signed(caller, stat.ref, "GET", conditions(stat.etag))
        opened = self._client.reading(url, signed, etag=stat.etag, size=stat.size, refusal=refused_by_s3)
        async with opened as pieces:
            yield pieces

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        # A copy of a multipart object gets another ETag, to which the digests would not be bound.
        if stat.ref.version is not None or _MULTIPART.search(stat.etag) or not stat.rewritable:
            return False
        values = write_stored(stat.stored, digests, etag=stat.etag, size=stat.size)
        source = f"/{quote(stat.ref.container, safe='')}/{quote(stat.ref.name, safe='/')}"
        headers = {
            **stat.metadata,
            **{META + name: value for name, value in values.items()},
            "content-type": stat.content_type,
            "x-amz-copy-source": source,
            "x-amz-copy-source-if-match": f'"{stat.etag}"',
            # Ceph's name of the same; it ignores the other one.
            "x-amz-copy-if-match": f'"{stat.etag}"',
            "x-amz-metadata-directive": "REPLACE",
        }
        url, signed = await self._presigner.signed(caller, stat.ref, "PUT", headers)
        async with self._client.exchange("PUT", url, signed) as response:
            if is_retryable(response.status):
                raise refused_by_s3(response.status)
            # A copy can fail after its status: then the body is an error.
            return response.status == OK and b"<Error" not in await response.content.read(65_536)


def stat_from_s3(project_id: str, account: str, ref: ObjectRef, headers: Mapping[str, str]) -> ObjectStat:
    """Parses the header fields (names in lower case) of a HEAD.

    Raises:
        GatewayError: OBJECT_UNSUPPORTED, if there is no ETag or no size.
    """
    etag, length = etag_of(headers.get("etag", "")), headers.get("content-length", "")
    if not etag or not length.isdecimal():
        raise GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="the store returns no ETag or no size")
    size = int(length)
    meta = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    native = native_digests(headers, etag)
    metadata = {name: value for name, value in headers.items() if name.startswith(META) or name in _RESENT}
    return ObjectStat(
        project_id=project_id,
        account=account,
        ref=ref,
        etag=etag,
        size=size,
        kind=ObjectKind.MULTIPART if _MULTIPART.search(etag) else ObjectKind.PLAIN,
        content_type=headers.get("content-type", "application/octet-stream"),
        last_modified=headers.get("last-modified"),
        native=native,
        stored=read_stored(meta, etag=etag, size=size),
        foreign=read_foreign(meta, etag=etag, size=size, native=native),
        metadata=metadata,
        rewritable=not is_weak(etag) and not _would_lose(headers) and is_round_trippable(metadata),
    )


def _would_lose(headers: Mapping[str, str]) -> bool:
    """Whether a copy onto itself would change more than the metadata; it gives the usual storage class."""
    unusual = headers.get(_STORAGE_CLASS, "STANDARD") != "STANDARD"
    return unusual or not _LOST.isdisjoint(headers)


def refused_by_s3(status: int) -> GatewayError:
    """The error for a status: the store gets no token, so a 401 or 403 is about the credential's rights."""
    error = refused(status)
    return GatewayError(ErrorCode.OBJECT_FORBIDDEN) if error.kind is ErrorCode.TOKEN_INVALID else error
