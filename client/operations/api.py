"""Requests to `/v1/operations`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from client.errors import CommandError, NotInTimeError, TokenRefusedError, WrongUsageError
from client.exchange import RetryPolicy, ask, refusal, send
from client.login import Login
from client.operations.states import UNFINISHED

Operation = dict[str, Any]

_MAX_BODY = 4 << 20
_PIECE_BYTES = 65_536
_PAGE = 100
_UNAUTHORIZED = 401
_POLL_SECONDS = 0.5
ERROR_FIELD = "Osfaas-Error"
# Beginnings of the codes of errors that refuse a request itself; any other error is the answer that was asked for.
_REFUSALS = ("access.", "operation.", "role.", "service.", "tenant.", "token.")
_ID = re.compile(r"[0-9a-f-]{36}")
_LOCATION = re.compile(r"/v1/operations/([0-9a-f-]{36})")


class NotEndedInTimeError(NotInTimeError):
    """The operation has not ended within the time; it goes on."""


class OperationsClient:
    """The operations of the project of a login."""

    def __init__(self, login: Login, retry: RetryPolicy) -> None:
        self._login = login
        self._retry = retry
        self._url = f"{login.gateway}/v1/operations"

    def every(self, *, limit: int, states: tuple[str, ...] = (), subject: str | None = None) -> Iterator[Operation]:
        """Operations, the youngest first, page by page.

        Raises:
            CommandError: the service refuses, or cannot be reached; so do all methods.
        """
        marker, left = "", limit
        while left > 0:
            asked = {"limit": min(_PAGE, left), "marker": marker, "state": ",".join(states), "subject": subject or ""}
            query = urlencode({name: value for name, value in asked.items() if value})
            page = self._json("GET", f"?{query}")
            yield from page["operations"]
            if not page.get("links"):
                return
            left -= len(page["operations"])
            marker = page["operations"][-1]["id"]

    def show(self, operation_id: str) -> Operation:
        """An operation."""
        return self._json("GET", path_of(operation_id))

    def cancel(self, operation_id: str) -> Operation:
        """Cancels an operation; as it is then."""
        return self._json("DELETE", path_of(operation_id))

    def retry(self, operation_id: str) -> Operation:
        """Starts a dead letter again; as it is then."""
        return self._json("POST", f"{path_of(operation_id)}/retry")

    def result(self, operation_id: str, write: Callable[[bytes], object]) -> int:
        """Writes the answer as it arrives; returns its status, whatever that is.

        Raises:
            CommandError: there is none; or none yet; or it ended before its end.
        """
        try:
            response = send(self._login, f"{self._url}{path_of(operation_id)}/result")
            own = response.getheader(ERROR_FIELD, "")
            if response.status == _UNAUTHORIZED and own.startswith("token."):
                raise TokenRefusedError(str(refusal(response, "gateway")))
            if is_refusal(own):
                raise refusal(response, "gateway")
            while piece := response.read(_PIECE_BYTES):
                write(piece)
            if response.length:
                raise CommandError(f"The answer ended {response.length} bytes before its end. Ask for it again.")
        except OSError as error:
            raise CommandError(f"The gateway at {self._login.gateway} cannot be reached: {error}.") from error
        return response.status

    def _json(self, method: str, path: str) -> dict[str, Any]:
        response = ask(self._login, self._url + path, retry=self._retry, method=method)
        try:
            found: dict[str, Any] = json.loads(response.read(_MAX_BODY))
        except ValueError as error:
            raise CommandError("The gateway's answer is not JSON; is this the URL of the gateway?") from error
        return found


def is_refusal(code: str) -> bool:
    """Whether an error of the gateway refuses a request for a result, and is not the result.

    Args:
        code: in `ERROR_FIELD`, which no function can send.
    """
    return code.startswith(_REFUSALS)


@dataclass(frozen=True)
class Wait:
    """How long to wait (seconds), how to read the operation, and where progress goes."""

    seconds: float
    read: Callable[[], Operation]
    say: Callable[[Operation], None]
    sleep: Callable[[float], None] = field(default=time.sleep)
    clock: Callable[[], float] = field(default=time.monotonic)


def wait_for_end(wait: Wait) -> Operation:
    """Waits until an operation has ended; returns it.

    Raises:
        NotEndedInTimeError: it has not ended within the time.
    """
    deadline = wait.clock() + wait.seconds
    while True:
        operation = wait.read()
        wait.say(operation)
        if operation["state"] not in UNFINISHED:
            return operation
        if wait.clock() > deadline:
            raise NotEndedInTimeError(f"The operation has not ended within {wait.seconds:g} s; it goes on.")
        wait.sleep(_POLL_SECONDS)


def progress_line(operation: Mapping[str, Any]) -> str:
    """One line about what an operation has done."""
    done = operation["progress"]
    parts = [operation["state"]]
    if operation["attempts"] > 1:
        parts.append(f"attempt {operation['attempts']}")
    if done["bytes"]:
        parts.append(f"{done['bytes']:,} bytes")
    if done["objects"]:
        parts.append(f"{done['objects']:,} objects")
    return ", ".join(parts)


def path_of(operation_id: str) -> str:
    """The path of an operation below `/v1/operations`.

    Raises:
        WrongUsageError: this is no id.
    """
    if not _ID.fullmatch(operation_id):
        raise WrongUsageError(f"'{operation_id}' is not the id of an operation. 'operation list' shows them.")
    return f"/{operation_id}"


def id_in(location: str | None) -> str:
    """The id in the Location of a 202.

    Raises:
        CommandError: there is none: the gateway did not accept the call as an asynchronous one.
    """
    found = _LOCATION.fullmatch(location or "")
    if found is None:
        raise CommandError("The gateway did not accept the call as an asynchronous one; its answer came at once.")
    return found[1]
