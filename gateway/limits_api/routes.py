"""`GET /v1/limits`: limits of the caller's project, and their current usage."""

import datetime as dt
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.calls.admission import Admission
from gateway.errors import UNCACHEABLE
from gateway.http.context import RequestContext, context_of
from gateway.http.query import parse_query
from gateway.http.respond import answer_or_error
from gateway.limits.limiter import ProjectLimiter
from gateway.limits_api.document import limits_document
from gateway.policy.names import Rule


class LimitRoutes:
    """The endpoint of limits. Requests to it are not counted."""

    def __init__(self, admission: Admission, limiter: ProjectLimiter, sizes: Mapping[str, int]) -> None:
        """`sizes`: maximum sizes that are the same for all projects, by their names in the answer."""
        self._admission = admission
        self._limiter = limiter
        self._sizes = sizes

    async def show(self, request: Request) -> Response:
        """`GET /v1/limits`."""
        context = context_of(request.scope)
        context.route = "limits"
        return await answer_or_error(context, self._show(context))

    async def _show(self, context: RequestContext) -> Response:
        head = context.head
        assert head is not None
        call = await self._admission.admit(context, Rule.LIMITS_GET, services=True, counted=False)
        parse_query(head.query, ())
        used = await self._limiter.use(call.subject)
        document = limits_document(
            used,
            self._limiter.in_force(call.subject),
            of_record=call.tenant.limits is not None,
            sizes=self._sizes,
            now=dt.datetime.now(dt.UTC),
        )
        return JSONResponse(document, headers=UNCACHEABLE)
