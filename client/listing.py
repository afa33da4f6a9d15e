"""`list`: the digests of all objects of a container, by bulk requests to the gateway."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from client.errors import CommandError, TokenRefusedError
from client.exchange import RetryPolicy, ask, fetch
from client.login import Login

PAGE = 1_000
# Errors that a retry may solve: a limit, an object that changed, a service that did not respond.
_PASSING = frozenset([409, 429, 502, 503, 504])
_UNAUTHORIZED = 401
MAX_LIST_BYTES = 16 << 20
ROUNDS = 3


@dataclass(frozen=True)
class ListQuery:
    """A query for one digest of each object of a container.

    Attributes:
        prefix: only names that begin with it.
        algorithm: any name that the gateway supports; "": those of the gateway's operator.
        store: whether the digests are stored with the objects.
        names: of the objects; None: all that the object store lists.
    """

    container: str
    prefix: str
    algorithm: str
    store: bool
    names: tuple[str, ...] | None = None


def read_names(lines: Iterable[str]) -> tuple[str, ...]:
    """The names, one on each line, each once.

    Raises:
        CommandError: they are not UTF-8.
    """
    try:
        return tuple(dict.fromkeys(name for line in lines if (name := line.rstrip("\r\n"))))
    except UnicodeDecodeError as error:
        raise CommandError("The names are not UTF-8.") from error


def count_of(login: Login, query: ListQuery, retry: RetryPolicy) -> int | None:
    """The number of objects, if they are named, or if Swift reports it without listing them."""
    if query.names is not None:
        return len(query.names)
    if query.prefix:
        return None
    meanings = _meanings(login, query)
    answer = ask(login, _container(login, query), retry=retry, method="HEAD", meanings=meanings)
    count = answer.getheader("X-Container-Object-Count", "")
    return int(count) if count.isdecimal() else None


def digests_of(login: Login, query: ListQuery, retry: RetryPolicy) -> Iterator[dict[str, Any]]:
    """The gateway's line for each object, in arbitrary order; a failed object has the field `error`.

    Raises:
        TokenRefusedError: the remaining objects need a new login.
        CommandError: the container cannot be listed, or the gateway rejects the request.
    """
    for names in _pages(login, query, retry):
        missing = dict.fromkeys(names)
        last: dict[str, dict[str, Any]] = {}
        for _ in range(ROUNDS):
            for line in _asked(login, query, list(missing), retry):
                name = str(line.get("object"))
                if name not in missing:
                    continue
                code = line.get("error", {}).get("code")
                if code == _UNAUTHORIZED:
                    # The token has expired meanwhile.
                    raise TokenRefusedError(line["error"]["message"])
                if code in _PASSING:
                    last[name] = line
                    continue
                del missing[name]
                yield line
            if not missing:
                break
        for name in missing:
            yield last.get(name) or _unanswered(query, name)


def _asked(login: Login, query: ListQuery, names: list[str], retry: RetryPolicy) -> Iterator[dict[str, Any]]:
    """The lines of one response; a truncated response has fewer."""
    order = {
        "objects": [{"container": query.container, "object": name} for name in names],
        **({"algorithms": [query.algorithm]} if query.algorithm else {}),
        "store": query.store,
    }
    url, headers = f"{login.gateway}/v1/checksums", {"Content-Type": "application/json"}
    answer = ask(
        login,
        url,
        retry=retry,
        method="POST",
        headers=headers,
        body=json.dumps(order, ensure_ascii=False).encode(),
    )
    try:
        for line in answer:
            if line.strip():
                yield json.loads(line)
    except (OSError, http.client.HTTPException, ValueError):
        return


def _unanswered(query: ListQuery, name: str) -> dict[str, Any]:
    message = "The gateway's response ended before this object."
    return {"container": query.container, "object": name, "error": {"code": 502, "message": message}}


def _pages(login: Login, query: ListQuery, retry: RetryPolicy) -> Iterator[list[str]]:
    """Names of objects by pages (Swift API, "Show container details and list objects")."""
    if query.names is not None:
        yield from (list(query.names[start : start + PAGE]) for start in range(0, len(query.names), PAGE))
        return
    marker, meanings = "", _meanings(login, query)
    while True:
        parameters = urlencode({"format": "json", "limit": PAGE, "prefix": query.prefix, "marker": marker})
        url = f"{_container(login, query)}?{parameters}"
        answer = fetch(login, url, most=MAX_LIST_BYTES, retry=retry, meanings=meanings)
        try:
            names = [str(entry["name"]) for entry in json.loads(answer)]
        except (ValueError, LookupError, TypeError) as error:
            raise CommandError(f"The object store's list of the container '{query.container}' is malformed.") from error
        if not names:
            return
        yield names
        marker = names[-1]


def _container(login: Login, query: ListQuery) -> str:
    if login.swift is None:
        raise CommandError(
            "The catalog has no service 'object-store' for this project, so containers cannot be listed."
        )
    return f"{login.swift}/{quote(query.container, safe='')}"


def _meanings(login: Login, query: ListQuery) -> dict[int, str]:
    """Explanations of Swift's errors, which contain none."""
    account = (login.swift or "").rpartition("/")[2]
    return {
        403: f"the credential is not allowed to list the container '{query.container}'",
        404: f"the project's account {account} has no container '{query.container}'",
    }


def md5sum_line(value: str, name: str) -> str:
    """A line in md5sum's format; a leading backslash marks an escaped name."""
    shown = escaped(name)
    mark = "\\" if shown != name else ""
    return f"{mark}{value}  {shown}"


def escaped(name: str) -> str:
    """A name on one line, as md5sum writes it."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
