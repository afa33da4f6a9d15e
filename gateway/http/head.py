"""Strict validation of request heads, before anything else reads them.

The HTTP parser has already split the head into fields. Parsers differ in what they accept, and every difference
between two of them allows request smuggling, so ambiguous heads are rejected, not repaired:
RFC 9112 (framing, Host), RFC 9110 (fields), RFC 3986 (path and query).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Scope

from gateway.errors import ErrorCode, GatewayError
from gateway.http.identity_headers import is_identity_header
from gateway.settings.server import RequestSettings

_PATH = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]++|%[0-9A-Fa-f]{2})*+")
_QUERY = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]++|%[0-9A-Fa-f]{2})*+")
# RFC 3986, 3.2.3: a port may be empty.
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")
_LAST_PORT = 65_535
_FIELD_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# No leading zeros: some parsers read octal.
_DIGITS = re.compile(rb"0|[1-9][0-9]{0,17}")

# In a scope: the error with which the request was refused before it had fields (see strict_protocol).
REFUSAL = "osfaas.refusal"

_BODYLESS = frozenset(["GET", "HEAD", "DELETE", "OPTIONS"])


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A validated head.

    Attributes:
        method: as sent.
        path: the path as it was sent, percent-encoded; nothing decodes or normalises it before its owner does.
        query: the query as it was sent.
        fields: names in lower case with values, without fields that claim an identity.
    """

    method: str
    path: bytes
    query: bytes
    fields: tuple[tuple[bytes, bytes], ...]

    def all(self, name: bytes) -> tuple[str, ...]:
        """Every value of a field, in the order of arrival."""
        return tuple(value.decode("latin-1") for key, value in self.fields if key == name)

    def joined(self, name: bytes) -> str | None:
        """The values of a list field as one (RFC 9110, 5.3), or None."""
        values = self.all(name)
        return ", ".join(values) if values else None


def read_head(scope: Scope, limits: RequestSettings) -> RequestHead:
    """The head of a request.

    Raises:
        GatewayError: REQUEST_MALFORMED, REQUEST_HEAD_TOO_LARGE, EXPECTATION_FAILED or REQUEST_TRANSFER_CODING; or the
            error of the framing.
    """
    if REFUSAL in scope:
        raise scope.pop(REFUSAL)
    method: str = scope["method"]
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    fields = tuple(scope["headers"])
    _check_size(path, query, fields, limits)
    _check_target(path, query)
    kept = tuple(_checked_fields(fields))
    version: str = scope["http_version"]
    check_host(_values(kept, b"host"), version)
    check_framing(method, version, _values(kept, b"content-length"), _values(kept, b"transfer-encoding"))
    if any(value.lower() != b"100-continue" for value in _values(kept, b"expect")):
        raise GatewayError(ErrorCode.EXPECTATION_FAILED)
    return RequestHead(method, path, query, kept)


def _check_size(path: bytes, query: bytes, fields: tuple[tuple[bytes, bytes], ...], limits: RequestSettings) -> None:
    if len(fields) > limits.head_max_fields:
        raise GatewayError(ErrorCode.REQUEST_HEAD_TOO_LARGE, why=f"more than {limits.head_max_fields} fields")
    size = len(path) + len(query) + sum(len(name) + len(value) for name, value in fields)
    if size > limits.head_max_bytes:
        raise GatewayError(ErrorCode.REQUEST_HEAD_TOO_LARGE, why=f"more than {limits.head_max_bytes} bytes")


def _check_target(path: bytes, query: bytes) -> None:
    if not _PATH.fullmatch(path):
        raise _malformed("the path has characters that must be percent-encoded, or a broken escape")
    if not _QUERY.fullmatch(query):
        raise _malformed("the query has characters that must be percent-encoded, or a broken escape")
    if b"%00" in path or b"%00" in query:
        raise _malformed("NUL is not allowed")


def _checked_fields(fields: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    for raw_name, value in fields:
        if not _FIELD_NAME.fullmatch(raw_name) or _BAD_IN_VALUE.search(value):
            raise _malformed("a header field has a character that is not allowed")
        name = raw_name.lower()
        # An underscore reaches CGI-like software as a dash: `X_User_Id` is `X-User-Id` there.
        if is_identity_header(name):
            continue
        yield name, value


def _values(fields: tuple[tuple[bytes, bytes], ...], wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name == wanted]


def check_host(hosts: list[bytes], http_version: str) -> None:
    """Checks that there is exactly one Host, and that it is valid.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    if len(hosts) > 1 or (not hosts and http_version != "1.0"):
        raise _malformed("exactly one Host is needed")
    host = _HOST.fullmatch(hosts[0]) if hosts else None
    if hosts and (host is None or int(host[1] or 0) > _LAST_PORT):
        raise _malformed("Host is not a host with an optional port")


def check_framing(method: str, http_version: str, lengths: list[bytes], codings: list[bytes]) -> None:
    """Checks that the length of the body is given once and unambiguously.

    Args:
        method: as sent.
        http_version: "1.0" or "1.1".
        lengths: the values of every Content-Length.
        codings: the values of every Transfer-Encoding.

    Raises:
        GatewayError: REQUEST_MALFORMED or REQUEST_TRANSFER_CODING.
    """
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise _malformed("its length is said more than once")
    if lengths and not _DIGITS.fullmatch(lengths[0]):
        raise _malformed("Content-Length is not a number")
    if codings and http_version == "1.0":
        raise _malformed("HTTP/1.0 has no Transfer-Encoding")
    if codings and codings[0].lower() != b"chunked":
        raise GatewayError(ErrorCode.REQUEST_TRANSFER_CODING)
    if method in _BODYLESS and (codings or (lengths and int(lengths[0]))):
        raise _malformed(f"{method} takes no body")


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
