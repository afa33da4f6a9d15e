"""The request that is stored: what the caller sent, without credentials and fields about its connection. Pure."""

import hashlib
from collections.abc import AsyncIterator

from gateway.http.head import RequestHead
from gateway.http.identity_headers import CREDENTIAL_HEADERS, HOP_BY_HOP_HEADERS, is_identity_header
from gateway.operations.preference import AsyncPreference
from operations.store.model import Fields, Request

_NOT_STORED = (
    CREDENTIAL_HEADERS
    | HOP_BY_HOP_HEADERS
    | frozenset(
        [
            b"host",
            b"content-length",
            b"expect",
            b"prefer",
            b"x-callback-url",
            b"result-retention",
            b"x-openstack-request-id",
            b"accept-encoding",
        ]
    )
)
# What else about the request the function sees, beside the body and the target.
_FINGERPRINTED = frozenset([b"content-type", b"content-encoding"])


class BodyDigest:
    """The digest of a body that passes by in pieces."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    async def through(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the pieces unchanged."""
        async for piece in pieces:
            self._digest.update(piece)
            yield piece

    def value(self) -> str:
        """Of what has passed."""
        return self._digest.hexdigest()


def request_to_store(head: RequestHead, body: bytes, preference: AsyncPreference) -> Request:
    """The request that a worker sends later."""
    nominated = {word.strip().lower().encode("latin-1") for word in (head.joined(b"connection") or "").split(",")}
    kept = [
        (name, value)
        for name, value in head.fields
        if name not in _NOT_STORED and name not in nominated and not is_identity_header(name)
    ]
    if preference.rest is not None:
        kept.append((b"prefer", preference.rest.encode("latin-1")))
    target = head.path + (b"?" + head.query if head.query else b"")
    return Request(method=head.method, target=target, fields=tuple(kept), body=body)


def fingerprint_of(request: Request, body_digest: str | None = None) -> str:
    """Tells whether two requests with one idempotency key are the same: method, target, body and its type.

    `body_digest`: of a body that is not in memory.
    """
    fields: Fields = tuple(sorted(field for field in request.fields if field[0] in _FINGERPRINTED))
    digest = hashlib.sha256()
    # One part more, so that no body in memory is taken for the digest of another.
    body = (request.body,) if body_digest is None else (body_digest.encode("ascii"), b"sha256")
    for part in (request.method.encode("ascii"), request.target, repr(fields).encode("ascii"), *body):
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()
