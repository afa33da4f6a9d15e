"""What the routes of operations and of sweeps share: admission before the work, parts of requests, pages."""

import re
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.calls.admission import Admission
from gateway.calls.call import Call
from gateway.errors import UNCACHEABLE, ErrorCode, GatewayError
from gateway.http.context import context_of
from gateway.http.disconnect import unless_gone
from gateway.http.respond import answer_or_error
from gateway.json_text import json_bytes
from gateway.operations.service import not_found
from gateway.policy.names import Rule

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIMIT = 100
_MAX_LIMIT = 1_000
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})

Found = TypeVar("Found")

Work = Callable[[Call], Coroutine[Any, Any, Response]]


async def answer_admitted(admission: Admission, request: Request, route: str, work: Work, rule: Rule) -> Response:
    """The answer of `work` to an admitted request, unless the caller leaves before.

    `rule`: the policy rule of the route.
    """
    context = context_of(request.scope)
    context.route = route

    async def admitted() -> Response:
        return await work(await admission.admit(context, rule))

    return await answer_or_error(context, unless_gone(request.receive, admitted()))


def configured(found: Found | None) -> Found:
    """What there is with a database.

    Raises:
        GatewayError: OPERATION_NOT_CONFIGURED, without one.
    """
    if found is None:
        raise GatewayError(ErrorCode.OPERATION_NOT_CONFIGURED)
    return found


def parse_id(request: Request, call: Call) -> str:
    """The id in the path.

    Raises:
        GatewayError: OPERATION_NOT_FOUND, for one that no operation can have.
    """
    operation_id: str = request.path_params["operation"]
    if not _ID.fullmatch(operation_id):
        raise not_found(call, operation_id)
    return operation_id


def parse_marker(given: str | None) -> str | None:
    """The id after which a page begins.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    if given is not None and not _ID.fullmatch(given):
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why="the marker is not the id of an operation")
    return given


def page_limit(given: str | None) -> int:
    """The length of a page.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    if given is None:
        return _LIMIT
    if not given.isdecimal() or not given.isascii() or not 1 <= int(given[:9]) <= _MAX_LIMIT:
        raise GatewayError(ErrorCode.REQUEST_MALFORMED, why=f"limit must be a number from 1 to {_MAX_LIMIT}")
    return int(given)


def next_links(path: str, given: Mapping[str, list[str]], *, limit: int, last: str) -> list[dict[str, str]]:
    """The link to the page after the one that ends with `last`, with the filters that were given."""
    query = {**given, "limit": [str(limit)], "marker": [last]}
    return [{"rel": "next", "href": f"{path}?{urlencode(query, doseq=True)}"}]


def json_answer(document: object, status: int = 200, fields: Mapping[str, str] = _NO_FIELDS) -> Response:
    """A document that no cache keeps."""
    headers = {**UNCACHEABLE, **fields}
    return Response(json_bytes(document), status, headers, media_type="application/json")
