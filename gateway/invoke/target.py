"""Parses the path of an invocation into a function, a tag and a request target.

The function must get the path that the access rules were matched against, byte for byte. Envoy resolves dot segments,
and servers differ in whether an encoded slash separates segments; both can turn an allowed path into a forbidden one.
So they are rejected here for all callers. All other paths are forwarded undecoded.
"""

import re
from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead

PREFIX = b"/v1/invoke/"

_LABEL = re.compile(rb"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
ENCODED_DIVIDER = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)
# Some servers take the part after a semicolon for parameters and route by the rest. One expression, because a path of
# slashes has thousands of segments.
_DOT_SEGMENT = re.compile(rb"/\.\.?(?:[;/]|\Z)")


@dataclass(frozen=True, slots=True)
class Target:
    """Target of an invocation.

    Attributes:
        function: name of the function.
        path_and_query: a path (never empty) and a query, both as sent.
        tag: of the revision that is called by itself; None: the shares of the revisions decide.
    """

    function: str
    path_and_query: bytes
    tag: str | None = None

    @property
    def name(self) -> str:
        """Function and tag as in the path: `hello`, `hello@canary`."""
        return self.function if self.tag is None else f"{self.function}@{self.tag}"

    def with_query(self, query: bytes) -> "Target":
        """The same path with another query."""
        path = self.path_and_query.partition(b"?")[0]
        return Target(self.function, path + (b"?" + query if query else b""))


def has_dot_segment(path: bytes) -> bool:
    """Whether a segment of the path is `.` or `..`, spelled with or without escapes, with or without parameters."""
    return _DOT_SEGMENT.search(b"/" + path.lower().replace(b"%2e", b".")) is not None


def target_of(head: RequestHead) -> Target:
    """The target in the path `/v1/invoke/{function}/{path}` or `/v1/invoke/{function}@{tag}/{path}`.

    Raises:
        GatewayError: ROUTE_NOT_FOUND, REQUEST_MALFORMED.
    """
    if not head.path.startswith(PREFIX):
        # The router compares the decoded path. A prefix that is spelled with escapes is another path to access rules.
        raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
    name, slash, rest = head.path.removeprefix(PREFIX).partition(b"/")
    function, at, tag = name.partition(b"@")
    if not _LABEL.fullmatch(function) or (at and not _LABEL.fullmatch(tag)):
        raise GatewayError(ErrorCode.ROUTE_NOT_FOUND)
    if ENCODED_DIVIDER.search(rest):
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="a slash or backslash in the path is percent-encoded")
    if has_dot_segment(rest):
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the path has a segment of dots")
    path = (slash or b"/") + rest
    path_and_query = path + (b"?" + head.query if head.query else b"")
    return Target(function.decode("ascii"), path_and_query, tag.decode("ascii") if at else None)
