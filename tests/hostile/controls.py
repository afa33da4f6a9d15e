"""The same server without its defences, and with them, in this process: what does the same request meet there?"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.connections import ConnectionManager
from gateway.http.metrics import Metrics
from gateway.http.middleware import RequestMiddleware
from gateway.http.receiving import strict_protocols
from gateway.settings import Settings
from tests.machine import scaled


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it understood; `/large` answers with 8 MiB, `/slow` after three seconds."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive, send)
    with contextlib.suppress(ClientDisconnect):
        body = await request.body()
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        seen = {"method": scope["method"], "path": scope["raw_path"].decode("latin-1"), "fields": fields}
        answer: Response = JSONResponse({**seen, "body": body.decode("latin-1")})
        if scope["path"] == "/large":
            answer = Response(b"x" * (8 << 20))
        await answer(scope, receive, send)


def defended(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The layers of the edge around an application."""
    return RequestMiddleware(app, settings, Metrics())


@contextlib.contextmanager
def serving(app: ASGIApp, *, http: object = "httptools", keep_alive: int = 75, lifespan: str = "off") -> Iterator[int]:
    """The port of a server for `app`, with uvicorn's own protocol or another."""
    config = uvicorn.Config(
        app, port=0, http=http, loop="uvloop", ws="none", log_config=None, access_log=False,  # type: ignore[arg-type]
        lifespan=lifespan, timeout_keep_alive=keep_alive, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + scaled(30)
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def strict(**settings: object) -> Iterator[int]:
    """The port of a server with the edge's defences."""
    made = Settings(**settings)  # type: ignore[arg-type]
    with serving(
        defended(echo, made), http=strict_protocols(ConnectionManager(made)), keep_alive=made.keep_alive_seconds
    ) as port:
        yield port


def understood(answer: bytes) -> dict[str, object]:
    """What `echo` says it understood, from the bytes of an answer."""
    said: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return said
