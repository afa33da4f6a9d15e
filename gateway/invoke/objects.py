"""Invocations with inputs and outputs: what is added to the request of a function, and to the answer for its caller."""

import dataclasses
from dataclasses import dataclass

from starlette.types import Send

from gateway.compute.binding_fields import caller_fields, function_fields
from gateway.compute.bindings import Bindings, BoundObjects
from gateway.compute.object_binder import ObjectBinder
from gateway.http.disconnect import CallerWatch
from gateway.invoke.body import InboundBody
from gateway.invoke.proxy import Invocation, Proxy
from gateway.limits.byte_charges import charged_read
from gateway.limits.limiter import ProjectLimiter
from gateway.upstream.reply import Fields


@dataclass(frozen=True, slots=True)
class ObjectExchange:
    """The objects of one invocation, for the proxy."""

    invocation: Invocation
    binder: ObjectBinder
    bound: BoundObjects

    def request_fields(self) -> Fields:
        """Fields for the function."""
        return function_fields(self.bound)

    async def reply_headers(self) -> dict[str, str]:
        """Fields for the caller, by what the store says now."""
        return caller_fields(await self.binder.results(self.invocation.call, self.bound))


class ObjectInvocations:
    """Carries invocations with inputs and outputs."""

    def __init__(self, *, binder: ObjectBinder, proxy: Proxy, limiter: ProjectLimiter, most: int) -> None:
        """`most`: maximum number of objects of one invocation."""
        self.most = most
        self._binder = binder
        self._proxy = proxy
        self._limiter = limiter

    async def carry(self, invocation: Invocation, bindings: Bindings, body: InboundBody, send: Send) -> None:
        """As `Proxy.carry`, in a slot of the project, which is charged the bytes of all inputs.

        Raises:
            GatewayError: also as `ObjectBinder.bind`; BYTES_EXCEEDED, CONCURRENCY_EXCEEDED.
            ReplyBrokenError, CallerGoneError: as `Proxy.carry`.
        """
        call = invocation.call
        call.context.log.objects = len(bindings)
        async with CallerWatch(body.until_gone):
            bound = await self._binder.bind(call, bindings)
        exchange = ObjectExchange(invocation, self._binder, bound)
        slot = self._limiter.slot(call.subject)
        async with charged_read(self._limiter, call.subject, bound.size, slot) as use:
            call.context.limits[use.name] = use
            await self._proxy.carry(dataclasses.replace(invocation, objects=exchange), body, send)
