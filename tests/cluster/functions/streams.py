"""A function for tests: it sends WebSocket messages back, and server-sent events until its caller leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """ASGI: WebSocket echo on any path, `/healthz`, and events on all other paths."""
    if scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["type"] == "http":
        await _answer(scope["path"], send)


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def _answer(path: str, send: Send) -> None:
    kind = b"text/plain" if path == "/healthz" else b"text/event-stream"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    number = 0
    while path != "/healthz":
        await send({"type": "http.response.body", "body": b"id: %d\ndata: {}\n\n" % number, "more_body": True})
        number += 1
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080, log_level="warning", lifespan="off")
