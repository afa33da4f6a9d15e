"""`GET /v1/usage`: what the caller's project has used."""

import datetime as dt

from starlette.requests import Request
from starlette.responses import Response

from gateway.calls.admission import Admission
from gateway.http.context import RequestContext, context_of
from gateway.http.respond import answer_or_error
from gateway.limits.limiter import ProjectLimiter
from gateway.policy.names import Rule
from gateway.usage.answer import UsageReader
from gateway.usage.query import parse_usage_query


class UsageRoutes:
    """The endpoint of usage. It counts against the rate limit, and holds one of the project's slots meanwhile."""

    def __init__(self, admission: Admission, limiter: ProjectLimiter, reader: UsageReader) -> None:
        self._admission = admission
        self._limiter = limiter
        self._reader = reader

    async def show(self, request: Request) -> Response:
        """`GET /v1/usage`."""
        context = context_of(request.scope)
        context.route = "usage"
        return await answer_or_error(context, self._show(context))

    async def _show(self, context: RequestContext) -> Response:
        head = context.head
        assert head is not None
        call = await self._admission.admit(context, Rule.USAGE_GET)
        self._reader.check()
        query = parse_usage_query(head.query, project_id=call.caller.project_id, now=dt.datetime.now(dt.UTC))
        if query.requests > 1:
            await self._admission.count(call, query.requests - 1)
        async with self._limiter.slot(call.subject) as use:
            context.limits[use.name] = use
            return await self._reader.answer(query, head.query)
