"""`GET /v1/limits`: what the caller's project may use, and how much of it is used now."""

import datetime as dt

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admission import payer_of, tenant_for
from gateway.budgets.project import ProjectBudgets
from gateway.edge.answer import answer_or_error
from gateway.edge.context import RequestContext, context_of
from gateway.edge.query import parse_query
from gateway.errors import UNCACHEABLE
from gateway.identity.authenticate import Authenticator
from gateway.limits.document import limits_document
from tenancy.directory.protocol import TenantDirectory


class LimitRoutes:
    """The endpoint of limits. Asking costs nothing of them."""

    def __init__(self, *, identity: Authenticator, directory: TenantDirectory, budgets: ProjectBudgets) -> None:
        self._identity = identity
        self._directory = directory
        self._budgets = budgets

    async def show(self, request: Request) -> Response:
        """`GET /v1/limits`."""
        context = context_of(request.scope)
        context.route = "limits"
        return await answer_or_error(context, self._show(context))

    async def _show(self, context: RequestContext) -> Response:
        head = context.head
        assert head is not None
        caller = await self._identity.identify(head)
        context.facts |= {"user_id": caller.user_id, "project_id": caller.project_id}
        self._identity.authorise(caller, head, services=True, readers=True)
        parse_query(head.query, ())
        tenant = tenant_for(caller, self._directory)
        used = await self._budgets.use(payer_of(caller, tenant, service=self._identity.is_service(caller)))
        document = limits_document(used, tenant.limits, now=dt.datetime.now(dt.UTC))
        return JSONResponse(document, headers=UNCACHEABLE)
