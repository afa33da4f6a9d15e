"""The answer to a request about usage, for members of a project and for administrators."""

import asyncio
import urllib.parse

from starlette.responses import JSONResponse, Response

from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.usage.document import cloudkitty_document, csv_text, gnocchi_document, json_document
from gateway.usage.query import UsageQuery, marker_of
from operations.store.database import Database
from operations.store.errors import DatabaseUnavailableError
from operations.store.usage import UsageRow, usage_by

# Questions at a time: they may take long, and the connections are also those of other work.
_CONCURRENT = 2


class UsageReader:
    """Reads sums from the store."""

    def __init__(self, database: Database | None, *, public_url: str) -> None:
        """`database`: None: usage is not recorded."""
        self._database = database
        self._url = f"{public_url}/v1/usage"
        self._turns = asyncio.Semaphore(_CONCURRENT)

    def check(self) -> None:
        """Checks that there is a database.

        Raises:
            GatewayError: USAGE_NOT_CONFIGURED.
        """
        if self._database is None:
            raise GatewayError(ErrorCode.USAGE_NOT_CONFIGURED)

    async def answer(self, query: UsageQuery, parameters: bytes) -> Response:
        """The answer in the format of the query.

        Args:
            query: as parsed.
            parameters: as they were sent, for the link to the next page.

        Raises:
            GatewayError: USAGE_STORE_UNAVAILABLE, USAGE_NOT_CONFIGURED.
        """
        self.check()
        assert self._database is not None
        try:
            async with self._turns:
                rows = await self._database.run(usage_by, query.question)
        except DatabaseUnavailableError as error:
            raise GatewayError(ErrorCode.USAGE_STORE_UNAVAILABLE) from error
        shown = rows[: query.limit]
        following = self._next(parameters, shown[-1]) if len(rows) > query.limit else None
        return rendered(query, shown, following)

    def _next(self, parameters: bytes, last: UsageRow) -> str:
        kept = [
            (name, value)
            for name, value in urllib.parse.parse_qsl(parameters.decode("ascii"), keep_blank_values=True)
            if name != "marker"
        ]
        return f"{self._url}?{urllib.parse.urlencode([*kept, ('marker', marker_of(last))])}"


def rendered(query: UsageQuery, rows: list[UsageRow], next_url: str | None) -> Response:
    """The response. Every format names the next page in `Link` (RFC 8288)."""
    headers = {**UNCACHEABLE, **({"Link": f'<{next_url}>; rel="next"'} if next_url else {})}
    if query.format == "csv":
        return Response(csv_text(query.question, rows), media_type="text/csv", headers=headers)
    if query.format == "json":
        return JSONResponse(json_document(query.question, rows, next_url), headers=headers)
    form = cloudkitty_document if query.format == "cloudkitty" else gnocchi_document
    return JSONResponse(form(query.question, rows), headers=headers)
