"""`ANY /v1/invoke/{function}[@{tag}]/{path}`: a function of the caller's own project, as if it were called directly."""

from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext, context_of
from gateway.http.disconnect import CallerGoneError, unless_gone
from gateway.http.respond import failure
from gateway.http.websocket import WEBSOCKET
from gateway.invoke.body import InboundBody
from gateway.invoke.object_query import objects_in
from gateway.invoke.objects import ObjectInvocations
from gateway.invoke.proxy import Invocation, Proxy
from gateway.invoke.recheck import AccessLostError, ReplyBrokenError
from gateway.invoke.target import Target, target_of
from gateway.limits.limiter import ProjectLimiter
from gateway.operations.acceptance import INVOKE, AsyncCalls
from gateway.operations.preference import AsyncPreference
from gateway.policy.names import Rule
from gateway.telemetry.outcome import BROKEN, GONE
from tenancy.directory.protocol import FunctionAddress, Tenant

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class InvokeRoutes:
    """The endpoint of invocations."""

    def __init__(
        self,
        *,
        admission: Admission,
        proxy: Proxy,
        limiter: ProjectLimiter,
        objects: ObjectInvocations,
        body_max_bytes: int,
        asynchronous: AsyncCalls,
    ) -> None:
        self._admission = admission
        self._proxy = proxy
        self._limiter = limiter
        self._objects = objects
        self._body_max_bytes = body_max_bytes
        self._asynchronous = asynchronous

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one call from its head to the end of its answer."""
        context = context_of(scope)
        context.route = "invoke"
        try:
            await self._carry(context, scope, receive, send)
        except CallerGoneError:
            context.log.error = GONE
        except ReplyBrokenError as error:
            # An answer without an end makes the server cut the connection: the caller sees that something is missing.
            cause = error.__cause__
            if isinstance(error, AccessLostError) and isinstance(cause, GatewayError):
                context.log.fail(cause)
            else:
                context.log.error, context.log.cause = BROKEN, repr(cause)[:200]
        except GatewayError as error:
            if context.head is not None and context.head.method not in {"GET", "HEAD"}:
                # An unread body must not be taken for the next request.
                error = error.with_headers({"Connection": "close"})
            await failure(context, error)(scope, receive, send)

    async def _carry(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        head = context.head
        assert head is not None
        websocket = WEBSOCKET in scope
        target = target_of(head)
        context.log.function, context.log.tag = target.function, target.tag
        call = await self._admission.admit(context, Rule.FUNCTIONS_INVOKE)
        preference = None if websocket else self._asynchronous.preference(head)
        if preference is not None:
            callable_function(call.tenant, target)
            response = await self._accept(call, preference, target, receive)
            await response(scope, receive, send)
            return
        await self.carry(call, target, receive, send, websocket=websocket)

    async def carry(self, call: Call, target: Target, receive: Receive, send: Send, *, websocket: bool = False) -> None:
        """Makes an admitted call.

        Raises:
            GatewayError: nothing has been sent; FUNCTION_NOT_FOUND, or as `Proxy.carry` and `ObjectInvocations.carry`.
            ReplyBrokenError, CallerGoneError: as `Proxy.carry`.
        """
        head = call.context.head
        assert head is not None
        address = callable_function(call.tenant, target)
        if call.context.usage is not None:
            call.context.usage.function = target.function
        body = InboundBody(receive, head, self._body_max_bytes, call.context.usage)
        named = objects_in(head, most=self._objects.most) if address.objects and head.query else None
        if named is not None:
            bindings, query = named
            invocation = Invocation(call, head, target.with_query(query), address)
            await self._objects.carry(invocation, bindings, body, send)
            return
        async with self._limiter.slot(call.subject) as use:
            call.context.limits[use.name] = use
            await self._proxy.carry(Invocation(call, head, target, address, websocket), body, send)

    async def _accept(self, call: Call, preference: AsyncPreference, target: Target, receive: Receive) -> Response:
        head = call.context.head
        assert head is not None

        def opened(most: int) -> AsyncIterator[bytes]:
            # What a worker could not send on is not accepted.
            return InboundBody(receive, head, min(most, self._body_max_bytes)).pieces()

        body = opened if head.all(b"content-length") or head.all(b"transfer-encoding") else None
        operation = await self._asynchronous.accept(call, preference, kind=INVOKE, subject=target.name, open_body=body)
        return await unless_gone(receive, self._asynchronous.answer(call, operation, preference))


def callable_function(tenant: Tenant, target: Target) -> FunctionAddress:
    """The address of a callable function, or of its revision with the tag.

    Raises:
        GatewayError: FUNCTION_NOT_FOUND: the project has no callable function of that name, or none with that tag.
    """
    address = tenant.functions.get(target.function)
    if address is not None and target.tag is not None:
        # The tag `a` of the function `b-c` would have the host of the function `a-b-c`, which may not be callable.
        taken = f"{target.tag}-{target.function}" in tenant.functions
        address = None if taken else address.tagged(target.tag)
    if address is None or not address.callable:
        raise GatewayError(ErrorCode.FUNCTION_NOT_FOUND, project_id=tenant.project_id, function=target.name)
    return address
