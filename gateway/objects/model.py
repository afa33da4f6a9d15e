"""Model of objects: reference, stat of the store, and capabilities to read them."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, Self
from urllib.parse import unquote_to_bytes

from gateway.errors import ErrorCode, GatewayError
from gateway.identity.caller import Caller

MAX_CONTAINER_BYTES = 256
MAX_OBJECT_BYTES = 1_024
MAX_VERSION_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object of the caller's own account. Names are opaque bytes, which stores require to be UTF-8.

    Attributes:
        container: Swift container or S3 bucket.
        name: the object's name, with all its slashes.
        version: a version id, or None for the current one.
    """

    container: str
    name: str
    version: str | None = None

    @classmethod
    def in_path(cls, path: bytes, version: str | None = None) -> Self:
        """The object in the rest of a path, `{container}/{object}` as it was sent: decoded once, not normalised.

        Raises:
            GatewayError: REQUEST_MALFORMED.
        """
        try:
            container, _, name = (unquote_to_bytes(part).decode("utf-8") for part in path.partition(b"/"))
        except UnicodeDecodeError as error:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="a name is not UTF-8") from error
        return cls(container, name, version)

    def __post_init__(self) -> None:
        """Rejects names that no store accepts, or that a proxy could read as another path.

        Raises:
            GatewayError: REQUEST_MALFORMED.
        """
        if not self.container or "/" in self.container or self.container in {".", ".."}:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the name of the container is invalid")
        if not self.name:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the name of the object is missing")
        try:
            container, name, version = (len(word.encode()) for word in (self.container, self.name, self.version or ""))
        except UnicodeEncodeError as error:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="a name is not Unicode") from error
        if container > MAX_CONTAINER_BYTES or name > MAX_OBJECT_BYTES:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="a name is too long")
        # Stores answer a URL that is too long with a server error.
        if version > MAX_VERSION_BYTES:
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the version is too long")
        if "\0" in self.container + self.name + (self.version or ""):
            raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="NUL is not allowed")


def is_weak(etag: str) -> bool:
    """Whether an ETag is weak: two contents may have it, so it binds nothing (RFC 9110, 8.8.1)."""
    return etag.startswith('W/"')


def weak(etag: str) -> str:
    """The ETag as a weak one, for a store whose ETag does not change with every change of the content."""
    return etag if is_weak(etag) else f'W/"{etag}"'


def is_same_etag(seen: str, expected: str) -> bool:
    """Whether an answer has the expected ETag: a strong one exactly, a weak one by its opaque part (RFC 9110 8.8.3.2).

    The expected one is also weak where the store calls it strong and does not treat it as such.
    """
    return _opaque(seen) == _opaque(expected) if is_weak(expected) else seen == expected


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


class ObjectKind(Enum):
    """How the store keeps the content: whole, as Swift's large object (static, dynamic), or as S3's multipart upload.

    Only the ETag of a plain object is its MD5.
    """

    PLAIN = "plain"
    STATIC_LARGE = "slo"
    DYNAMIC_LARGE = "dlo"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """The store's answer to a stat with the caller's token.

    Attributes:
        project_id: of the token. Some stores give every project the same URL and select the account by token.
        account: URL of the Swift account, or S3's.
        etag: without quotes; a weak one unchanged. No digest is bound to a weak one: none is cached, stored or read.
        size: bytes.
        native: digests of the store itself, by algorithm, lowercase hex.
        stored: digests stored with the object and bound to this ETag and size.
        foreign: digests that other tools have stored with the object; unverified.
        metadata: the header fields that must be sent again when metadata is changed.
        rewritable: whether sending them again changes this object itself, and loses nothing that its owner has set.
    """

    project_id: str
    account: str
    ref: ObjectRef
    etag: str
    size: int
    kind: ObjectKind
    content_type: str
    last_modified: str | None = None
    native: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    rewritable: bool = True

    @property
    def identity(self) -> tuple[str, str, str, str, str | None, str, int]:
        """The key that a digest is bound to; never shared by two projects."""
        return self.project_id, self.account, self.ref.container, self.ref.name, self.ref.version, self.etag, self.size


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A capability: the URL authorises its holder to read, or to write, this one object for some minutes.

    Attributes:
        name: of the kind of capability.
        seconds: how long the store honours it.
        headers: the fields that a request with it must have; a presigned URL is not valid without them.
    """

    name: str
    url: str = field(repr=False)
    seconds: float = math.inf
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ByteStream:
    """No capability: the gateway reads the object with the caller's token and forwards the bytes."""

    name: str = "stream"


Capability = SignedUrl | ByteStream


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """A small object whose stat and bytes are one response of the store.

    Attributes:
        stat: as that of `ObjectStore.stat`.
        read: reads all of its bytes, once.
    """

    stat: ObjectStat
    read: Callable[[], Awaitable[bytes]]


class ObjectStore(Protocol):
    """An object store, accessed as the caller: the store authorises each request itself."""

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        """The stat of an object.

        Raises:
            GatewayError: OBJECT_NOT_FOUND, OBJECT_FORBIDDEN, OBJECT_UNSUPPORTED, TOKEN_INVALID, STORE_UNAVAILABLE.
        """
        ...

    def capabilities(self, caller: Caller, stat: ObjectStat, *, bound: bool = False) -> AsyncIterator[Capability]:
        """Capabilities for a function to read the object, the best one first; each is created on demand.

        `bound`: a URL has the ETag of `stat` as a condition, which its signature covers if the store's does that.
        """
        ...

    async def write_url(self, caller: Caller, ref: ObjectRef, *, new: bool) -> SignedUrl | None:
        """A capability for a function to write this one object; None if the caller has nothing to sign it with.

        `new`: on the condition that there is no such object, which the signature covers if the store's does that.
        """
        ...

    def reading(self, caller: Caller, stat: ObjectStat) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Opens the object's bytes, if it is unchanged since `stat`.

        Raises:
            GatewayError: as `stat`, OBJECT_CHANGED; while reading also OBJECT_TRUNCATED.
        """
        ...

    def opening(
        self, caller: Caller, ref: ObjectRef, max_bytes: int
    ) -> AbstractAsyncContextManager[OpenedObject | None]:
        """Requests an object's stat and bytes at once, with the same rights as `stat`; no byte is read yet.

        None: it has more bytes, or it is not stored whole, or its ETag binds nothing; then `stat` says more.

        Raises:
            GatewayError: as `stat`; `OpenedObject.read` raises OBJECT_TRUNCATED.
        """
        ...

    async def keep(self, caller: Caller, stat: ObjectStat, digests: Mapping[str, str]) -> bool:
        """Stores digests with the object, keeping its other metadata; False if that is not possible."""
        ...
