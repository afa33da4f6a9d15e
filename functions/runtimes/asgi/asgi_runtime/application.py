"""The ASGI application around a function: health, start and stop. All else goes to `handle` unchanged."""

from __future__ import annotations

import inspect
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# The paths of Knative's func.
LIVENESS = "/health/liveness"
READINESS = "/health/readiness"

logger = logging.getLogger("asgi_runtime")


class Application:
    """Serves one function instance.

    The instance has `handle(scope, receive, send)` and may have `start(environment)`, `stop()`, and `alive()` and
    `ready()`, which return whether it is, or that and a message. Each may be a coroutine function.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._checks = {LIVENESS: "alive", READINESS: "ready"}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] in self._checks:
            await self._health(self._checks[scope["path"]], send)
        else:
            await self._function.handle(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._optional("start", dict(os.environ))
        except Exception:
            logger.exception("start() of the function failed")
            await send({"type": "lifespan.startup.failed", "message": "start() of the function failed"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._optional("stop")
        except Exception:
            logger.exception("stop() of the function failed")
        await send({"type": "lifespan.shutdown.complete"})

    async def _health(self, check: str, send: Send) -> None:
        result = await self._optional(check)
        if result is None:
            result = True
        good, message = result if isinstance(result, tuple) else (result, "OK" if result else f"not {check}")
        await send(
            {
                "type": "http.response.start",
                "status": 200 if good else 503,
                "headers": [(b"content-type", b"text/plain; charset=utf-8")],
            }
        )
        await send({"type": "http.response.body", "body": str(message).encode()})

    async def _optional(self, name: str, *arguments: Any) -> Any:
        """Calls a method that the function may have; None if it has none."""
        method = getattr(self._function, name, None)
        if not callable(method):
            return None
        result = method(*arguments)
        return await result if inspect.isawaitable(result) else result
