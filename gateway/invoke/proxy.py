"""Passes a caller's request on to a function and its reply back, both as streams."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from starlette.types import Send

from gateway.edge.context import RequestContext
from gateway.edge.disconnect import CallerGoneError
from gateway.edge.head import RequestHead
from gateway.errors import GatewayError, Kind
from gateway.identity.caller import Caller
from gateway.invoke.body import InboundBody
from gateway.invoke.exchange import NOBODY_THERE, Call, FunctionClient
from gateway.invoke.headers import reply_fields, request_fields
from gateway.invoke.target import Target
from gateway.invoke.timing import server_timing
from gateway.invoke.trouble import Troubles
from tenancy.directory.protocol import FunctionAddress

_NOT_FOUND = 404


class ReplyBrokenError(Exception):
    """The reply broke off behind its head, which cannot be taken back: the caller's connection has to end."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a function by a caller who may make it."""

    caller: Caller
    head: RequestHead
    target: Target
    address: FunctionAddress
    context: RequestContext


class Proxy:
    """Carries invocations."""

    def __init__(self, client: FunctionClient, troubles: Troubles) -> None:
        self._client = client
        self._troubles = troubles

    async def carry(self, invocation: Invocation, body: InboundBody, send: Send) -> None:
        """Sends the request, then the reply to `send`. A caller that leaves ends both.

        Raises:
            GatewayError: nothing has gone to the caller yet.
            ReplyBrokenError: the head has.
            CallerGoneError: the caller left.
        """
        task = asyncio.current_task()
        assert task is not None
        carrying = True

        def stop(_watch: asyncio.Future[None]) -> None:
            if body.gone and carrying:
                task.cancel()

        watch = asyncio.ensure_future(body.until_gone())
        watch.add_done_callback(stop)
        try:
            await self._carry(invocation, body, send)
        except asyncio.CancelledError:
            # The server may cancel at the same moment; that goes on.
            if not body.gone or task.uncancel():
                raise
        except Exception:
            if not body.gone:
                raise
        finally:
            carrying = False
            watch.cancel()
        if body.gone:
            raise CallerGoneError

    async def _carry(self, invocation: Invocation, body: InboundBody, send: Send) -> None:
        caller, function = invocation.caller, invocation.target.function
        started = False
        try:
            async with self._client.exchange(invocation.address, self._call(invocation, body)) as response:
                fields = self._reply_fields(invocation, response)
                await send({"type": "http.response.start", "status": response.status, "headers": fields})
                started = True
                await _pass_body(response.content, send)
        except GatewayError as error:
            if started:
                raise ReplyBrokenError from error
            if body.failure is not None:
                raise body.failure from error
            raise self._troubles.explained(error, caller.project_id, function) from error

    def _call(self, invocation: Invocation, body: InboundBody) -> Call:
        head, caller = invocation.head, invocation.caller
        fields = CIMultiDict(request_fields(head, caller, invocation.context.request_id))
        if body.length is not None:
            fields["Content-Length"] = str(body.length)
        return Call(
            invocation.target.function,
            method=head.method,
            target=invocation.target.path_and_query,
            fields=fields,
            body=body.pieces() if body.expected else None,
            begun=lambda: body.begun,
            lasting=self._in_vain(invocation, body),
            timings=invocation.context.timings,
        )

    def _in_vain(self, invocation: Invocation, body: InboundBody) -> Callable[[], GatewayError | None]:
        """Asks whether the function has a trouble that lasts, or has stopped taking the body."""
        trouble = self._troubles.lasting(invocation.caller.project_id, invocation.target.function)
        patience = self._client.silence_seconds

        def verdict() -> GatewayError | None:
            if body.waiting_seconds > patience:
                why = f"it took nothing of the request for {patience:g} seconds"
                return GatewayError(Kind.FUNCTION_FAILED, function=invocation.target.function, why=why)
            return trouble()

        return verdict

    def _reply_fields(self, invocation: Invocation, response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        if _made_by_ingress(response):
            raise GatewayError(Kind.FUNCTION_UNREACHABLE, function=invocation.target.function)
        fields = reply_fields(
            response.status,
            response.raw_headers,
            function=invocation.target.function,
            host=invocation.address.host,
        )
        return [*fields, (b"server-timing", server_timing(invocation.context.timings).encode("ascii"))]


async def _pass_body(content: aiohttp.StreamReader, send: Send) -> None:
    if content.is_eof():
        # A small reply comes in one piece with its head, and goes in one.
        await send({"type": "http.response.body", "body": content.read_nowait(), "more_body": False})
        return
    async for piece in content.iter_any():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _made_by_ingress(response: aiohttp.ClientResponse) -> bool:
    """Whether Envoy answers of its own: it says how long the one behind it took, if there was one."""
    headers = response.headers
    return (
        response.status in NOBODY_THERE | {_NOT_FOUND}
        and headers.get("Server", "").lower() in {"envoy", "istio-envoy"}
        and "X-Envoy-Upstream-Service-Time" not in headers
    )
