"""A streaming reverse proxy between callers and functions."""

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
from tenancy.directory.protocol import FunctionAddress

_NOT_FOUND = 404


class ReplyBrokenError(Exception):
    """The reply broke off after its head was sent, so the caller's connection has to be closed."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One authorised call of a function."""

    call: Call
    head: RequestHead
    target: Target
    address: FunctionAddress


class Proxy:
    """Forwards invocations."""

    def __init__(self, client: FunctionClient, diagnostics: FunctionDiagnostics) -> None:
        self._client = client
        self._diagnostics = diagnostics

    async def carry(self, invocation: Invocation, body: InboundBody, send: Send) -> None:
        """Forwards the request, then the reply to `send`. A disconnect of the caller cancels both.

        Raises:
            GatewayError: nothing has been sent to the caller yet.
            ReplyBrokenError: the head has been sent.
            CallerGoneError: the caller disconnected.
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
            # A cancellation by the server at the same moment is propagated.
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
        """A check for a permanent failure of the function, or a body that it stopped reading."""
        problem = self._diagnostics.permanent_failure(invocation.call.caller.project_id, invocation.target.function)
        silence_seconds = self._client.silence_seconds

        def check() -> GatewayError | None:
            if body.waiting_seconds > silence_seconds:
                why = f"it took nothing of the request for {silence_seconds:g} seconds"
                return GatewayError(ErrorCode.FUNCTION_FAILED, function=invocation.target.function, why=why)
            return problem()

        return check

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
        # A small reply arrives in one piece with its head, and is sent as one.
        await send({"type": "http.response.body", "body": content.read_nowait(), "more_body": False})
        return
    async for piece in content.iter_any():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _made_by_ingress(response: aiohttp.ClientResponse) -> bool:
    """Whether the reply is Envoy's own: it adds the upstream's service time if there was an upstream."""
    headers = response.headers
    return (
        response.status in NOBODY_THERE | {_NOT_FOUND}
        and headers.get("Server", "").lower() in {"envoy", "istio-envoy"}
        and "X-Envoy-Upstream-Service-Time" not in headers
    )
