"""`ANY /v1/invoke/{function}/{path}`: a function of the caller's own project, as if it were called directly."""

from starlette.types import Receive, Scope, Send

from gateway.admission import admit, payer_of
from gateway.budgets.project import ProjectBudgets
from gateway.edge.context import RequestContext, context_of
from gateway.edge.disconnect import CallerGoneError
from gateway.errors import GatewayError, Kind, error_response
from gateway.identity.authenticate import Authenticator
from gateway.invoke.body import InboundBody
from gateway.invoke.proxy import Invocation, Proxy, ReplyBrokenError
from gateway.invoke.target import target_of
from gateway.observe.outcome import GONE
from tenancy.directory.protocol import FunctionAddress, Tenant, TenantDirectory

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class InvokeRoutes:
    """The endpoint of invocations."""

    def __init__(
        self,
        *,
        identity: Authenticator,
        directory: TenantDirectory,
        proxy: Proxy,
        budgets: ProjectBudgets,
        body_max_bytes: int,
    ) -> None:
        self._identity = identity
        self._directory = directory
        self._proxy = proxy
        self._budgets = budgets
        self._body_max_bytes = body_max_bytes

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carries one call from its head to the end of its answer."""
        context = context_of(scope)
        context.route = "invoke"
        try:
            await self._carry(context, receive, send)
        except CallerGoneError:
            context.facts["error"] = GONE
        except ReplyBrokenError as error:
            # An answer without an end makes the server cut the connection: the caller sees that something is missing.
            context.facts |= {"error": "function.reply.broken", "cause": repr(error.__cause__)[:200]}
        except GatewayError as error:
            context.facts["error"] = error.kind.code
            if error.__cause__ is not None:
                context.facts["cause"] = repr(error.__cause__)[:200]
            if context.head is not None and context.head.method not in {"GET", "HEAD"}:
                # A body that nobody reads is no next request.
                error = error.with_headers({"Connection": "close"})
            await error_response(error, request_id=context.request_id)(scope, receive, send)

    async def _carry(self, context: RequestContext, receive: Receive, send: Send) -> None:
        head = context.head
        assert head is not None
        target = target_of(head)
        context.facts["function"] = target.function
        caller, tenant = await admit(self._identity, self._directory, head, context)
        payer = payer_of(caller, tenant)
        await self._budgets.count_call(payer)
        address = callable_function(tenant, target.function)
        body = InboundBody(receive, head, self._body_max_bytes)
        async with self._budgets.place(payer):
            await self._proxy.carry(Invocation(caller, head, target, address, context), body, send)


def callable_function(tenant: Tenant, function: str) -> FunctionAddress:
    """Where the function is.

    Raises:
        GatewayError: FUNCTION_NOT_FOUND: the project has none of that name, or none that may be called so.
    """
    address = tenant.functions.get(function)
    if address is None or not address.callable:
        raise GatewayError(Kind.FUNCTION_NOT_FOUND, project_id=tenant.project_id, function=function)
    return address
