"""The function as functions-framework serves it, and health paths in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# As in the other runtime; functions-framework has none of its own.
LIVENESS = "/health/liveness"
READINESS = "/health/readiness"
FILE = "main.py"


class FunctionError(Exception):
    """The folder has no function; the message says what is missing."""


class WsgiHealth:
    """Answers the health paths; everything else goes to the WSGI application."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request."""
        if environ.get("PATH_INFO") not in {LIVENESS, READINESS}:
            return self._app(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "2")])
        return [b"OK"]


class AsgiHealth:
    """The same for an ASGI application."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Serves one ASGI connection."""
        if scope["type"] != "http" or scope["path"] not in {LIVENESS, READINESS}:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"OK"})
