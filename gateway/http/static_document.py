"""A JSON document that is the same for every caller: rendered once, with an ETag."""

import hashlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.http.context import context_of
from gateway.http.head import RequestHead
from gateway.json_text import json_bytes

_NOT_MODIFIED = 304


class StaticDocument:
    """The endpoint of a document. It needs no token, so it must be cheap under attack."""

    def __init__(self, document: Mapping[str, Any], *, route: str, max_age_seconds: int = 60) -> None:
        """An endpoint.

        Args:
            document: what it answers.
            route: its name in logs and metrics.
            max_age_seconds: how long caches may answer without asking: an upgrade or a new setting is seen after it.
        """
        self._body = json_bytes(document)
        self._route = route
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
        self._headers = {"ETag": self._etag, "Cache-Control": f"public, max-age={max_age_seconds}"}

    async def show(self, request: Request) -> Response:
        """The document, or 304 if the caller has it."""
        context = context_of(request.scope)
        context.route = self._route
        if context.head is not None and self._is_known(context.head):
            return Response(status_code=_NOT_MODIFIED, headers=self._headers)
        return Response(self._body, headers=self._headers, media_type="application/json")

    def _is_known(self, head: RequestHead) -> bool:
        """Whether If-None-Match names this document; the comparison is weak (RFC 9110, 13.1.2)."""
        named = head.joined(b"if-none-match")
        return named is not None and not {self._etag, "*"}.isdisjoint(
            tag.strip(" \t").removeprefix("W/") for tag in named.split(",")
        )
