"""Passes a caller's request on to a function and its reply back, both as streams."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from starlette.types import Send

from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.disconnect import CallerGoneError
from gateway.http.head import RequestHead
from gateway.invoke.body import InboundBody
from gateway.invoke.headers import reply_fields, request_fields
from gateway.invoke.target import Target
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import NOBODY_THERE, FunctionClient, FunctionRequest
from gateway.upstream.timing import server_timing
from tenancy.directory import FunctionAddress

_NOT_FOUND = 404


class ReplyBrokenError(Exception):
    """The reply broke off behind its head, which cannot be taken back: the caller's connection has to end."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a function by a caller who may make it."""

    call: Call
    head: RequestHead
    target: Target
    address: FunctionAddress


class Proxy:
    """Carries invocations."""

    def __init__(self, client: FunctionClient, diagnostics: FunctionDiagnostics) -> None:
        self._client = client
        self._diagnostics = diagnostics

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
        caller, function = invocation.call.caller, invocation.target.function
        started = False
        try:
            async with self._client.exchange(invocation.address, self._request(invocation, body)) as response:
                fields = self._reply_fields(invocation, response)
                await send({"type": "http.response.start", "status": response.status, "headers": fields})
                started = True
                await _pass_body(response.content, send)
        except GatewayError as error:
            if started:
                raise ReplyBrokenError from error
            if body.failure is not None:
                raise body.failure from error
            raise self._diagnostics.with_diagnosis(error, caller.project_id, function) from error

    def _request(self, invocation: Invocation, body: InboundBody) -> FunctionRequest:
        head, caller, context = invocation.head, invocation.call.caller, invocation.call.context
        fields = CIMultiDict(request_fields(head, caller, context.request_id))
        if body.length is not None:
            fields["Content-Length"] = str(body.length)
        return FunctionRequest(
            invocation.target.function,
            method=head.method,
            target=invocation.target.path_and_query,
            fields=fields,
            body=body.pieces() if body.expected else None,
            begun=lambda: body.begun,
            permanent_failure=self._failure_check(invocation, body),
            timings=context.timings,
        )

    def _failure_check(self, invocation: Invocation, body: InboundBody) -> Callable[[], GatewayError | None]:
        """Asks whether the function has a trouble that lasts, or has stopped taking the body."""
        trouble = self._diagnostics.permanent_failure(invocation.call.caller.project_id, invocation.target.function)
        patience = self._client.silence_seconds

        def verdict() -> GatewayError | None:
            if body.waiting_seconds > patience:
                why = f"it took nothing of the request for {patience:g} seconds"
                return GatewayError(ErrorCode.FUNCTION_FAILED, function=invocation.target.function, why=why)
            return trouble()

        return verdict

    def _reply_fields(self, invocation: Invocation, response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        if _made_by_ingress(response):
            raise GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=invocation.target.function)
        fields = reply_fields(
            response.status,
            response.raw_headers,
            function=invocation.target.function,
            host=invocation.address.host,
        )
        return [*fields, (b"server-timing", server_timing(invocation.call.context.timings).encode("ascii"))]


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
