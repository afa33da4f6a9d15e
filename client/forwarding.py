"""`osfaas events forward`: receives object events without a token and forwards them to the gateway with one.

RGW, MinIO and Knative's brokers can push to a URL, but hold no Keystone token, which expires after an hour. This
process holds the project's application credential for them. It is run by the project, and only adds a token: the sender
decides on retries, so the gateway's status is returned unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openstack.config
import openstack.exceptions
import uvicorn
from keystoneauth1 import exceptions as ksa_exceptions
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from client.errors import CommandError
from client.keystone import SERVICE_TYPE, endpoint_of, missing_gateway, sentence_of, session_of

MAX_BODY_BYTES = 2_097_152
# The gateway's own timeout of a computation is 1800 seconds.
ANSWER_SECONDS = 1_860.0
CONNECT_SECONDS = 10.0
COME_BACK_SECONDS = 5
_UNAUTHORIZED, _NOT_FOUND, _TOO_LARGE, _UNAVAILABLE, _FIRST_ERROR = 401, 404, 413, 503, 400
_KEPT = frozenset([b"content-type"])
Headers = list[tuple[bytes, bytes]]


def serve(host: str, port: int, *, query: str, secret: str | None, endpoint: str | None) -> None:
    """Receives events until a signal ends the process.

    Args:
        host: address to listen on.
        port: TCP port to listen on.
        query: of the URL to which events are forwarded; "": digests with the algorithms of the gateway.
        secret: required from senders, or None.
        endpoint: URL of the gateway; None: from the catalog.

    Raises:
        CommandError: there is no usable credential, or the catalog has no gateway.
    """
    try:
        region = openstack.config.OpenStackConfig(app_name="osfaas-events").get_one()
        session = session_of(region)
        gateway = endpoint or endpoint_of(region, session, SERVICE_TYPE)
    except (openstack.exceptions.SDKException, ksa_exceptions.ClientException) as error:
        raise CommandError(sentence_of(error)) from error
    if gateway is None:
        raise CommandError(missing_gateway())
    verify, _certificate = region.get_requests_verify_args()
    base = gateway.rstrip("/").removesuffix("/v1")
    url = f"{base}/v1/events{query}"
    app = forwarder(session, url, verify=verify is not False and (verify or True), secret=secret)
    uvicorn.run(app, host=host, port=port, access_log=False, server_header=False, lifespan="on", log_level="warning")


def forwarder(session: Any, url: str, *, verify: bool | str, secret: str | None) -> Starlette:
    """Builds the application: `POST /` or `POST /{secret}` receives an event, `GET /healthz` is the liveness probe.

    Args:
        session: keystoneauth's; renews its token by itself.
        url: destination of the events.
        verify: a CA file, or whether certificates are verified.
        secret: required from senders, or None.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(verify=verify, timeout=timeout, trust_env=False) as client:
            app.state.client = client
            yield

    async def receive(request: Request) -> Response:
        if secret is not None and not _knows(request, secret):
            return Response(status_code=_UNAUTHORIZED)
        if secret is None and request.url.path != "/":
            return Response(status_code=_NOT_FOUND)
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return Response(status_code=_TOO_LARGE, headers={"Connection": "close"})
        # As bytes: they contain names of objects in raw UTF-8.
        headers = [(name, value) for name, value in request.headers.raw if name in _KEPT or name.startswith(b"ce-")]
        return await _send(request.app.state.client, session, url, headers, bytes(body))

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route("/healthz", alive), Route("/{secret:path}", receive, methods=["POST"])], lifespan=lifespan
    )


async def _send(client: httpx.AsyncClient, session: Any, url: str, headers: Headers, body: bytes) -> Response:
    """Returns the gateway's status; its body only with an error, because a broker takes a body for an event."""
    try:
        answer = await _with_token(client, session, url, headers, body)
        if answer.status_code == _UNAUTHORIZED:
            # The token was revoked: one retry with a new one.
            session.invalidate()
            answer = await _with_token(client, session, url, headers, body)
    except (httpx.HTTPError, ksa_exceptions.ClientException) as error:
        sentence = f"The event was not forwarded: {type(error).__name__}.\n"
        return PlainTextResponse(sentence, _UNAVAILABLE, {"Retry-After": str(COME_BACK_SECONDS)})
    kept = {name: answer.headers[name] for name in ("Retry-After", "X-Openstack-Request-Id") if name in answer.headers}
    failed = answer.status_code >= _FIRST_ERROR
    return Response(answer.content if failed else b"", answer.status_code, kept)


async def _with_token(
    client: httpx.AsyncClient, session: Any, url: str, headers: Headers, body: bytes
) -> httpx.Response:
    token: str = await asyncio.to_thread(session.get_token)  # keystoneauth blocks
    return await client.post(url, content=body, headers=[*headers, (b"x-auth-token", token.encode("ascii"))])


def _knows(request: Request, secret: str) -> bool:
    """Whether the request has the secret, in `Authorization` or (a Knative Trigger sends no such field) in the path."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.path_params["secret"]
    return hmac.compare_digest(given.strip().encode(), secret.encode())
