"""A streaming reverse proxy between callers and functions."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Send

from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.disconnect import CallerWatch
from gateway.http.head import RequestHead
from gateway.http.websocket import SWITCHING_PROTOCOLS
from gateway.invoke.body import InboundBody
from gateway.invoke.headers import Fields, encoded, reply_fields, request_fields, switch_fields
from gateway.invoke.recheck import Recheck, ReplyBrokenError
from gateway.invoke.revision_stats import RevisionStats
from gateway.invoke.target import Target
from gateway.invoke.websocket import carry_websocket
from gateway.upstream.diagnostics import FunctionDiagnostics
from gateway.upstream.function_client import NOBODY_THERE, FunctionClient, FunctionRequest
from gateway.upstream.reply import Reply
from gateway.upstream.timing import server_timing
from policies.revision_field import FIELD
from tenancy.directory.protocol import FunctionAddress

_NOT_FOUND, _FAILED = 404, 500
_UPSTREAM = FIELD.encode("ascii")


class Objects(Protocol):
    """Inputs and outputs of an invocation."""

    def request_fields(self) -> Fields:
        """Fields for the function."""

    async def reply_headers(self) -> dict[str, str]:
        """Fields for the caller, when the function has begun its reply or failed."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One authorised call of a function.

    Attributes:
        websocket: it is a handshake.
        objects: its inputs and outputs, or None.
    """

    call: Call
    head: RequestHead
    target: Target
    address: FunctionAddress
    websocket: bool = False
    objects: Objects | None = None


class Proxy:
    """Forwards invocations."""

    def __init__(
        self,
        client: FunctionClient,
        diagnostics: FunctionDiagnostics,
        *,
        recheck: Callable[[Call], Awaitable[GatewayError | None]],
        recheck_seconds: float,
        stats: RevisionStats | None = None,
    ) -> None:
        """`recheck`: the error that would reject a call now; asked at this interval while a reply is streamed.

        `stats`: counts the calls of each revision.
        """
        self._client = client
        self._diagnostics = diagnostics
        self._recheck = recheck
        self._recheck_seconds = recheck_seconds
        self._stats = stats

    async def carry(self, invocation: Invocation, body: InboundBody, send: Send) -> None:
        """Forwards the request, then the reply to `send`. A disconnect of the caller cancels both.

        Raises:
            GatewayError: nothing has been sent to the caller yet.
            ReplyBrokenError: the head has been sent. `AccessLostError`: the caller may not make the call any more.
            CallerGoneError: the caller disconnected.
        """
        async with CallerWatch(body.until_gone) as watch:
            await self._carry(invocation, body, send, watch)

    async def _carry(self, invocation: Invocation, body: InboundBody, send: Send, watch: CallerWatch) -> None:
        started, began, upstream = False, time.perf_counter(), None
        try:
            async with self._client.exchange(invocation.address, self._request(invocation, body)) as reply:
                upstream = reply.field(_UPSTREAM)
                fields = self._reply_fields(invocation, reply)
                if invocation.objects is not None:
                    fields += encoded(await invocation.objects.reply_headers())
                if reply.status == SWITCHING_PROTOCOLS:
                    # The tunnel itself sees the caller's end, and what was sent before it still reaches the function.
                    watch.end()
                    async with self._rechecked(invocation.call):
                        return await carry_websocket(reply, fields, send)
                await send({"type": "http.response.start", "status": reply.status, "headers": fields})
                started = True
                if reply.complete:
                    # A small reply arrives in one piece with its head, and is sent as one.
                    await send({"type": "http.response.body", "body": reply.read_nowait(), "more_body": False})
                else:
                    async with self._rechecked(invocation.call):
                        await _stream(reply, send)
                self._count(invocation, upstream, began, failed=reply.status >= _FAILED)
        except GatewayError as error:
            self._count(invocation, upstream, began, failed=True)
            if started:
                raise ReplyBrokenError from error
            # Not from the error itself: without a diagnosis it is raised again, and would be its own cause.
            raise await self._failure(invocation, error) from error.__cause__

    def _count(self, invocation: Invocation, upstream: bytes | None, began: float, *, failed: bool) -> None:
        if self._stats is not None:
            tenant, function = invocation.call.tenant, invocation.target.function
            seconds = time.perf_counter() - began
            self._stats.count(tenant.namespace, function, upstream, seconds, failed=failed)

    async def _failure(self, invocation: Invocation, error: GatewayError) -> GatewayError:
        """The error for the caller. Not in the frame that raises it, which its traceback keeps."""
        project_id, function = invocation.call.caller.project_id, invocation.target.function
        diagnosed = self._diagnostics.with_diagnosis(error, project_id, function)
        if invocation.objects is None:
            return diagnosed
        return diagnosed.with_headers(await invocation.objects.reply_headers())

    def _rechecked(self, call: Call) -> Recheck:
        return Recheck(lambda: self._recheck(call), self._recheck_seconds)

    def _request(self, invocation: Invocation, body: InboundBody) -> FunctionRequest:
        head, caller, context = invocation.head, invocation.call.caller, invocation.call.context
        fields = request_fields(head, caller, context.request_id, websocket=invocation.websocket)
        if invocation.objects is not None:
            fields += invocation.objects.request_fields()
        return FunctionRequest(
            invocation.target.function,
            method=head.method,
            target=invocation.target.path_and_query,
            fields=fields,
            body=body.pieces() if body.expected else None,
            length=body.length,
            begun=body.is_begun,
            permanent_failure=self._diagnostics.permanent_failure(caller.project_id, invocation.target.function),
            upgrade=invocation.websocket,
            timings=context.timings,
            usage=context.usage,
        )

    def _reply_fields(self, invocation: Invocation, reply: Reply) -> list[tuple[bytes, bytes]]:
        if _made_by_ingress(reply):
            raise GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function=invocation.target.function)
        function = invocation.target.function
        if reply.status == SWITCHING_PROTOCOLS:
            (key,) = (value for name, value in invocation.head.fields if name == b"sec-websocket-key")
            fields = switch_fields(key, reply.fields, function=function)
        else:
            name, host = invocation.target.name, invocation.address.host
            fields = reply_fields(reply.status, reply.fields, function=name, host=host)
        return [*fields, (b"server-timing", server_timing(invocation.call.context.timings).encode("ascii"))]


async def _stream(reply: Reply, send: Send) -> None:
    async for piece in reply.pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _made_by_ingress(reply: Reply) -> bool:
    """Whether the reply is Envoy's own: it adds the upstream's service time if there was an upstream."""
    return (
        reply.status in NOBODY_THERE | {_NOT_FOUND}
        and (reply.field(b"server") or b"").lower() in {b"envoy", b"istio-envoy"}
        and reply.field(b"x-envoy-upstream-service-time") is None
    )
