"""One call of a function through the gateway, with inputs and outputs."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from client.errors import CommandError, TokenRefusedError
from client.exchange import refusal, send
from client.login import Login
from client.operations.api import id_in

_UNAUTHORIZED, _FIRST_ERROR = 401, 400
_PIECE_BYTES = 65_536
# What a path or a query may contain as it is; a percent sign begins an escape of the caller's own.
_AS_IT_IS = "/?&=%:@!$'()*+,;~-._"
_GOOD_STATES = frozenset(["unchanged", "written"])
_SAFE_STATES = frozenset([*_GOOD_STATES, "changed", "missing", "refused", "unknown"])


@dataclass(frozen=True)
class Invocation:
    """A call of a function.

    Attributes:
        name: of the function.
        path: of the call, with its query; "" is "/".
        inputs: `[name:]container/object`, not percent-encoded.
        outputs: likewise.
        overwrite: whether outputs may replace objects that exist.
        data: the body, `@` and the path of a file, or `@-`; None: no body.
        headers: `Name: value`.
        method: of the request.
        asynchronous: whether a worker makes the call later; then the id of the operation is written.
    """

    name: str
    path: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    overwrite: bool = False
    data: str | None = None
    headers: tuple[str, ...] = ()
    method: str = "POST"
    asynchronous: bool = False


@dataclass(frozen=True)
class InvocationResult:
    """Whether the function succeeded and wrote its outputs; `lines`: what there is to say about that."""

    succeeded: bool
    lines: tuple[str, ...] = ()


def send_invocation(login: Login, invocation: Invocation, write: Callable[[bytes], object]) -> InvocationResult:
    """Calls the function once, and writes the body of its reply as it arrives.

    Raises:
        TokenRefusedError: the gateway rejected the token; nothing was sent to the function.
        CommandError: the gateway returned an error of its own, or the connection failed.
    """
    try:
        return _exchange(login, invocation, write)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CommandError(f"The call of '{invocation.name}' at {login.gateway} failed: {reason}.") from error


def target_of(invocation: Invocation) -> str:
    """Path and query of the request.

    Raises:
        CommandError: the path does not begin with a slash.
    """
    path, _, query = invocation.path.partition("?")
    if path and not path.startswith("/"):
        raise CommandError(f"The path '{path}' must begin with a slash.")
    named = [("input", each) for each in invocation.inputs] + [("output", each) for each in invocation.outputs]
    pairs = [f"{role}={quote(value, safe='/:', errors='surrogateescape')}" for role, value in named]
    if invocation.overwrite:
        pairs.append("overwrite=true")
    whole = "&".join([*([quote(query, safe=_AS_IT_IS)] if query else []), *pairs])
    name = quote(invocation.name, safe="@")
    return f"/v1/invoke/{name}{quote(path, safe=_AS_IT_IS)}" + (f"?{whole}" if whole else "")


def _exchange(login: Login, invocation: Invocation, write: Callable[[bytes], object]) -> InvocationResult:
    body, length = body_of(invocation.data)
    try:
        response = send(
            login,
            login.gateway + target_of(invocation),
            method=invocation.method,
            headers={
                **headers_of(invocation.headers),
                **({} if length is None else {"Content-Length": str(length)}),
                **({"Prefer": "respond-async"} if invocation.asynchronous else {}),
            },
            body=body,
        )
    finally:
        if body is not None and not isinstance(body, bytes):
            body.close()
    # The gateway drops this field from replies of functions.
    if response.status == _UNAUTHORIZED and response.getheader("WWW-Authenticate"):
        raise TokenRefusedError(str(refusal(response, "gateway")))
    if response.status >= _FIRST_ERROR and _is_of_gateway(response):
        raise CommandError("\n".join([str(refusal(response, "gateway")), *result_of(response, invocation).lines]))
    if invocation.asynchronous:
        write(id_in(response.getheader("Location")).encode("ascii") + b"\n")
        return InvocationResult(succeeded=True)
    while piece := response.read(_PIECE_BYTES):
        write(piece)
    return result_of(response, invocation)


class ReplyHead(Protocol):
    """The head of a reply."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def reason(self) -> str:
        """Its reason phrase."""

    def getheader(self, name: str) -> str | None:
        """A header field, or None."""


def result_of(response: ReplyHead, invocation: Invocation) -> InvocationResult:
    """The result in the head of a reply."""
    lines, good = [], response.status < _FIRST_ERROR
    if not good:
        lines.append(f"the function returned {response.status} {response.reason}")
    for role, wanted in (("input", invocation.inputs), ("output", invocation.outputs)):
        documents = _documents(response.getheader(f"Osfaas-{role.title()}"))
        if wanted and not documents and good:
            lines.append(f"the function '{invocation.name}' takes no {role}: its label osfaas.dev/objects is not true")
            good = False
        for each in documents:
            state = each.get("state")
            lines.append(_line(role, each))
            good = good and state in _GOOD_STATES
    return InvocationResult(good, tuple(lines))


def _line(role: str, document: dict[str, object]) -> str:
    state, size = document.get("state"), document.get("size")
    shown = state if state in _SAFE_STATES else "unknown"
    return f"{role} {document.get('name')}: {shown}" + (f", {size} bytes" if isinstance(size, int) else "")


def _documents(field: str | None) -> list[dict[str, object]]:
    try:
        found = json.loads(f"[{field or ''}]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)]


def _is_of_gateway(response: http.client.HTTPResponse) -> bool:
    """Whether an error is the gateway's own: only it says `no-store` without `private`."""
    return response.getheader("Cache-Control") == "no-store"


def body_of(data: str | None) -> tuple[bytes | BinaryIO | None, int | None]:
    """The body, and its length if it is known.

    Raises:
        CommandError: the file cannot be read.
    """
    if data is None:
        return None, None
    if data == "@-":
        # As a whole: a rejected token is renewed, and the call sent again.
        content = sys.stdin.buffer.read()
        return content, len(content)
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape"), None
    try:
        file = Path(data[1:]).open("rb")  # noqa: SIM115 - closed after the request
        return file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CommandError(f"'{data[1:]}' cannot be read: {error.strerror}.") from error


def headers_of(given: tuple[str, ...]) -> dict[str, str]:
    """The header fields.

    Raises:
        CommandError: one is malformed, or is the token's.
    """
    fields = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise CommandError(f"'{each}' is not a header field. Give 'Name: value'.")
        if name.strip().lower() in {"x-auth-token", "authorization", "content-length", "transfer-encoding"}:
            raise CommandError(f"The field '{name.strip()}' is set by this command.")
        fields[name.strip()] = value.strip()
    return fields
