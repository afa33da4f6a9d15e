"""`GET /v1/limits`: limits of the caller's project, and their current usage."""

import datetime as dt

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admission import limit_subject, tenant_for
from gateway.errors import UNCACHEABLE
from gateway.http.answer import answer_or_error
from gateway.http.context import RequestContext, context_of
from gateway.http.query import parse_query
from gateway.identity.authenticate import Authenticator
from gateway.limits.document import limits_document
from gateway.limits.limiter import ProjectLimiter
from tenancy.directory import TenantDirectory


class LimitRoutes:
    """The endpoint of limits. Requests to it are not counted."""

    def __init__(self, *, identity: Authenticator, directory: TenantDirectory, limiter: ProjectLimiter) -> None:
        self._identity = identity
        self._directory = directory
        self._limiter = limiter

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
        used = await self._limiter.use(limit_subject(caller, tenant, service=self._identity.is_service(caller)))
        document = limits_document(used, tenant.limits, now=dt.datetime.now(dt.UTC))
        return JSONResponse(document, headers=UNCACHEABLE)
