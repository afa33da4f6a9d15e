"""Filters header fields of invocations in both directions. Pure: lists of fields in, lists of fields out.

A function belongs to a tenant, and a call belongs to a caller. Fields are dropped if they would give the function the
caller's credential, let the caller impersonate another user, or control the infrastructure between them (Envoy,
Knative, this gateway). All other fields are forwarded unchanged.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from gateway.errors import ErrorCode, GatewayError
from gateway.http.cors import PREFIX as CORS
from gateway.http.head import RequestHead
from gateway.http.identity_headers import CREDENTIAL_HEADERS, HOP_BY_HOP_HEADERS, is_identity_header
from gateway.http.websocket import accept_of
from gateway.identity.caller import Caller
from gateway.invoke.caching import cache_control, is_for_shared_caches, vary
from gateway.invoke.target import ENCODED_DIVIDER, has_dot_segment

Fields = list[tuple[bytes, bytes]]

USER_AGENT = b"osfaas-gateway"
PREFIX = "/v1/invoke/"

# Fields of the infrastructure, in both directions: of Envoy and Istio, of Knative, of this gateway.
_MACHINERY = (b"k-", b"knative-", b"x-envoy-", b"x-istio-", b"x-forwarded-", b"x-b3-", b"x-openstack-", b"osfaas-")
# The caller's credentials (the gateway's origin is shared by all tenants, so a function must not read its cookies), and
# fields about one hop; beside the identity headers, which only the gateway sets.
_NOT_IN_PREFIXES = (*_MACHINERY, b"openstack-")
_NOT_IN = CREDENTIAL_HEADERS | frozenset(
    [
        b"host",
        b"content-length",
        b"expect",
        # A probe's User-Agent makes Knative's proxy answer instead of the function.
        b"user-agent",
        b"via",
        b"x-request-id",
        # Valid trace context is forwarded with a span id of ours.
        b"traceparent",
        b"tracestate",
        b"early-data",
        b"max-forwards",
        b"cdn-loop",
    ]
)
# In replies: which pages may read what comes from the gateway's origin is the operator's decision (`http/cors.py`).
_NOT_OUT_PREFIXES = (*_MACHINERY, CORS)
# Fields that affect the whole origin, other tenants' calls, or the caller's credentials.
_NOT_OUT = frozenset(
    [
        b"date",
        b"server",
        b"via",
        b"x-powered-by",
        b"set-cookie",
        b"set-cookie2",
        b"x-auth-token",
        b"x-subject-token",
        b"x-request-id",
        # Our challenge contains Keystone's URL, to which clients send their passwords.
        b"www-authenticate",
        b"authentication-info",
        b"location",
        b"content-location",
        b"refresh",
        b"server-timing",
        b"alt-svc",
        b"clear-site-data",
        b"strict-transport-security",
        b"public-key-pins",
        b"expect-ct",
        b"service-worker-allowed",
        b"timing-allow-origin",
        b"sourcemap",
        b"nel",
        # They describe the project's limits at the gateway.
        b"ratelimit",
        b"ratelimit-policy",
        b"report-to",
        b"reporting-endpoints",
        b"x-accel-redirect",
        b"x-sendfile",
        # They are merged into one field each (`caching.py`).
        b"cache-control",
        b"vary",
    ]
)
_WEBSOCKET = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
_PLAIN = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_MODIFIED = 304
_EMPTY_STATUSES = frozenset([204, 205])


def request_fields(head: RequestHead, caller: Caller, request_id: str, *, websocket: bool = False) -> Fields:
    """The request header fields for a function: the caller's filtered fields, and identity fields.

    `Host` and the length are added where the request is sent. Values are bytes; they are passed on as they came.
    `websocket`: it is a handshake (RFC 6455, 4.1). `Connection` and `Upgrade` are about one connection, so they are
    made anew.
    """
    nominated = _nominated(head.fields)
    kept = [
        (name, value)
        for name, value in head.fields
        if name not in HOP_BY_HOP_HEADERS
        and name not in _NOT_IN
        and name not in nominated
        and not name.startswith(_NOT_IN_PREFIXES)
        and not is_identity_header(name)
    ]
    return [*kept, *(_WEBSOCKET if websocket else ()), *identity_fields(caller, request_id)]


def identity_fields(caller: Caller, request_id: str) -> Fields:
    """Identity fields of the caller, named as by keystonemiddleware. Ids only: names repeat and change."""
    return [
        (b"user-agent", USER_AGENT),
        (b"x-identity-status", b"Confirmed"),
        (b"x-user-id", _plain(caller.user_id)),
        (b"x-project-id", _plain(caller.project_id)),
        (b"x-roles", ",".join(sorted(role for role in caller.roles if _PLAIN.fullmatch(role))).encode("ascii")),
        (b"x-openstack-request-id", request_id.encode("ascii")),
    ]


def reply_fields(status: int, fields: Fields, *, function: str, host: str | None) -> Fields:
    """The response header fields for a caller: the filtered fields of a function's reply.

    Args:
        status: of the reply.
        fields: its header fields, names in lower case.
        function: its name, for Location.
        host: by which Host it was called.

    Raises:
        GatewayError: FUNCTION_FAILED, for a status that cannot be passed on, or that contradicts its body.
    """
    if not 200 <= status <= 599:  # noqa: PLR2004 - an interim reply, a switch of protocols, or no status at all
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=f"it answered with the status {status}")
    if status in _EMPTY_STATUSES and any(_says_body(name, value) for name, value in fields):
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=f"it answered {status} with a body")
    # The length that a 200 would have is taken for the length of the body by servers.
    dropped = {b"content-length"} if status == _NOT_MODIFIED else ()
    kept = [(name, value) for name, value in _for_caller(fields) if name not in dropped]
    for name in (b"location", b"content-location"):
        values = [value for key, value in fields if key == name]
        place = location_for_caller(values[0].decode("latin-1"), function, host) if len(values) == 1 else None
        if place is not None:
            kept.append((name, place.encode("ascii")))
    kept.append((b"cache-control", cache_control(_joined(fields, b"cache-control"))))
    kept.append((b"vary", vary(_joined(fields, b"vary"))))
    return kept


def encoded(fields: Mapping[str, str]) -> Fields:
    """Fields of our own, whose names and values are ASCII."""
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in fields.items()]


def switch_fields(key: bytes, fields: Fields, *, function: str) -> Fields:
    """The header fields of a 101 for a caller: as `reply_fields`, without those about a body.

    Args:
        key: the Sec-WebSocket-Key of the caller.
        fields: of the function's reply, names in lower case.
        function: its name.

    Raises:
        GatewayError: FUNCTION_FAILED: it does not accept this handshake (RFC 6455, 4.1).
    """
    protocols = [value.lower() for name, value in fields if name == b"upgrade"]
    accepted = [value for name, value in fields if name == b"sec-websocket-accept"]
    if protocols != [b"websocket"] or accepted != [accept_of(key)]:
        why = "its answer to a WebSocket handshake does not accept it"
        raise GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why)
    return [*_WEBSOCKET, *_for_caller(fields)]


def _for_caller(fields: Fields) -> Fields:
    nominated = _nominated(fields)
    return [
        (name, value)
        for name, value in fields
        if name not in HOP_BY_HOP_HEADERS
        and name not in _NOT_OUT
        and name not in nominated
        and not name.startswith(_NOT_OUT_PREFIXES)
        and not is_for_shared_caches(name)
        and not _BAD_IN_VALUE.search(value)
    ]


def _joined(fields: Fields, name: bytes) -> bytes:
    return b", ".join(value for key, value in fields if key == name and not _BAD_IN_VALUE.search(value))


def location_for_caller(place: str, function: str, host: str | None) -> str | None:
    """A function's Location as a path of the gateway; None if it is not within the function.

    OpenStack's clients follow redirects with the token in hand, so a function must not choose where that goes.
    """
    if not place.isascii() or not place.isprintable() or " " in place or "\\" in place:
        return None
    for origin in (f"http://{host}", f"https://{host}"):
        if host and (place == origin or place.startswith((f"{origin}/", f"{origin}?"))):
            place = place[len(origin) :] or "/"
            break
    if not place.startswith("/") or place.startswith("//") or _climbs(place):
        return None
    return f"{PREFIX}{function}{place}"


def _climbs(place: str) -> bool:
    path = place.partition("#")[0].partition("?")[0].encode("ascii")
    return has_dot_segment(ENCODED_DIVIDER.sub(b"/", path))


def _says_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")


def _nominated(fields: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Hop-by-hop fields that `Connection` names."""
    return frozenset(
        word.strip().lower() for name, value in fields if name == b"connection" for word in value.split(b",")
    )


def _plain(word: str) -> bytes:
    return (word if _PLAIN.fullmatch(word) else quote(word, safe="")).encode("ascii")
