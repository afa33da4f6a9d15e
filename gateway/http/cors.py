"""Cross-origin requests of browsers (Fetch, 3.2): pages of the origins that the operator lists may read our answers.

A page sends its token in a header field that it sets itself, so answers never allow credentials of the browser
(`Access-Control-Allow-Credentials`). Without them, `*` stands for the fields that functions have of their own. No
answer allows all origins.

It is not a layer of its own, as Starlette's is: it also covers the answers to refused heads and crashes, and a request
that is not listed, or an installation that lists nothing, costs a look-up at most. Pure.
"""

from collections.abc import Iterable, Sequence

from gateway.http.head import RequestHead

Fields = Sequence[tuple[bytes, bytes]]

PREFIX = b"access-control-"
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# `*` does not cover Authorization, and browsers of before 2022 do not know it in these lists.
_REQUEST_FIELDS = (
    "Authorization, X-Auth-Token, Accept, Content-Type, If-Match, If-None-Match, Prefer, Idempotency-Key, "
    "Result-Retention, X-Callback-Url, OpenStack-API-Version, X-Openstack-Request-Id, Want-Digest, Want-Repr-Digest, "
    "Repr-Digest, traceparent, tracestate, *"
)
_EXPOSED_FIELDS = (
    "Allow, Digest, ETag, Link, Location, OpenStack-API-Version, Osfaas-Error, Osfaas-Input, Osfaas-Output, "
    "Preference-Applied, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, Server-Timing, WWW-Authenticate, "
    "X-Openstack-Request-Id, *"
)
# An origin that the operator removes is still sent requests without a preflight for this time; it cannot read answers.
_MAX_AGE_SECONDS = 600
# Of the answer to a preflight, which is the same for every path: it tells nothing about functions and objects.
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": _METHODS,
    "Access-Control-Allow-Headers": _REQUEST_FIELDS,
    "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    "Cache-Control": "no-store",
}
_EXPOSED = (b"access-control-expose-headers", _EXPOSED_FIELDS.encode("ascii"))


class Cors:
    """Decides by origin, which is compared byte for byte with those of the operator."""

    def __init__(self, origins: Iterable[str]) -> None:
        """`origins`: as browsers send them."""
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    def origin_of(self, fields: Fields) -> bytes | None:
        """The origin of a request if it is listed. Of several fields, none is."""
        found = [value for name, value in fields if name == b"origin"]
        return found[0] if len(found) == 1 and found[0] in self._origins else None

    @staticmethod
    def answer_fields(fields: Fields, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The header fields of an answer, with those for the browser.

        Args:
            fields: of the answer, names in lower case.
            origin: the listed origin of the request, or None.
        """
        # A cache must know that answers differ, also from one without an origin. Some caches read only one Vary.
        vary = [value for name, value in fields if name == b"vary"]
        kept = [(name, value) for name, value in fields if name != b"vary"]
        allowed = [(b"access-control-allow-origin", origin), _EXPOSED] if origin is not None else []
        return [*kept, (b"vary", b", ".join([*vary, b"Origin"])), *allowed]


def is_preflight(head: RequestHead) -> bool:
    """Whether a browser asks for permission before a request (Fetch, 3.2.2)."""
    return head.method == "OPTIONS" and bool(head.all(b"access-control-request-method"))
