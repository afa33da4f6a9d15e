"""`GET /v1/usage` for administrators: of all projects, or of one (`project_id=`)."""

import datetime as dt

from starlette.requests import Request
from starlette.responses import Response

from control.administrator import Administrators
from gateway.http.context import context_of
from gateway.http.respond import answer_or_error
from gateway.policy.names import Rule
from gateway.usage.answer import UsageReader
from gateway.usage.query import parse_usage_query


class AdminUsageRoutes:
    """The endpoint of usage. Tenants may not reach it, so it does not count against a limit of theirs."""

    def __init__(self, administrators: Administrators, reader: UsageReader) -> None:
        self._administrators = administrators
        self._reader = reader

    async def show(self, request: Request) -> Response:
        """`GET /v1/usage`."""
        context = context_of(request.scope)
        context.route = "usage"

        async def answer() -> Response:
            head = context.head
            assert head is not None
            administrator = await self._administrators.administrator_of(head, Rule.USAGE_GET_ALL)
            context.log.user_id = administrator.user_id
            self._reader.check()
            query = parse_usage_query(head.query, project_id=None, now=dt.datetime.now(dt.UTC))
            return await self._reader.answer(query, head.query)

        return await answer_or_error(context, answer())
