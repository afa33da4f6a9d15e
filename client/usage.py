"""Requests to `/v1/usage`: every page of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from client.errors import CommandError
from client.exchange import RetryPolicy, ask
from client.login import Login

_MAX_PAGE = 16 << 20
_NEXT = re.compile(r'<([^<>]*)>; rel="next"')


def pages(login: Login, parameters: Mapping[str, str], retry: RetryPolicy) -> Iterator[bytes]:
    """The pages of an answer, in their order.

    Raises:
        TokenRefusedError, CommandError: see `ask`; also if a page is too long.
    """
    query: str | None = urlencode(parameters)
    while query is not None:
        response = ask(login, f"{login.gateway}/v1/usage?{query}", retry=retry)
        body = response.read(_MAX_PAGE + 1)
        if len(body) > _MAX_PAGE:
            raise CommandError("A page of the answer is too long. Ask for less with --limit.")
        yield body
        query = next_query(response.getheader("Link", ""))


def next_query(link: str) -> str | None:
    """The query of the next page; None: there is none. Only the query: the token is not for another origin."""
    match = _NEXT.fullmatch(link)
    return None if match is None else urlencode(parse_qsl(urlsplit(match[1]).query, keep_blank_values=True))
