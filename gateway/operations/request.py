"""The request that is stored: what the caller sent, without credentials and fields about its connection. Pure."""

import hashlib

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


def fingerprint_of(request: Request) -> str:
    """Tells whether two requests with one idempotency key are the same: method, target, body and its type."""
    fields: Fields = tuple(sorted(field for field in request.fields if field[0] in _FINGERPRINTED))
    digest = hashlib.sha256()
    for part in (request.method.encode("ascii"), request.target, repr(fields).encode("ascii"), request.body):
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()
