"""Requests to `/v1/secrets`. Values are sent, and never shown."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from client.errors import CommandError, WrongUsageError
from client.exchange import RetryPolicy, ask
from client.login import Login

Secret = dict[str, Any]

_MAX_BODY = 1 << 20
_PAGE = 100
_MAX_BYTES = 32_768


class SecretsClient:
    """The secrets of the project of a login."""

    def __init__(self, login: Login, retry: RetryPolicy) -> None:
        self._login = login
        self._retry = retry
        self._url = f"{login.gateway}/v1/secrets"

    def every(self) -> Iterator[Secret]:
        """All secrets, page by page.

        Raises:
            CommandError: the service refuses, or cannot be reached; so do all methods.
        """
        marker = ""
        while True:
            page = self._ask("GET", f"?limit={_PAGE}" + (f"&marker={marker}" if marker else ""))
            yield from page["secrets"]
            if not page.get("secrets_links"):
                return
            marker = page["secrets"][-1]["name"]

    def set(self, name: str, value: bytes) -> Secret:
        """Sets a value."""
        found: Secret = self._ask("PUT", f"/{name}", json.dumps(value_document(value)).encode())["secret"]
        return found

    def delete(self, name: str) -> None:
        """Deletes a secret that no function uses."""
        self._ask("DELETE", f"/{name}")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        response = ask(self._login, self._url + path, retry=self._retry, method=method, headers=headers, body=body)
        text = response.read(_MAX_BODY)
        try:
            found: dict[str, Any] = json.loads(text) if text else {}
        except ValueError as error:
            raise CommandError("The gateway's answer is not JSON; is this the URL of the gateway?") from error
        return found


def value_document(value: bytes) -> dict[str, Any]:
    """The body of a request that sets a value.

    Raises:
        WrongUsageError: it is too short or too long.
    """
    if not 1 <= len(value) <= _MAX_BYTES:
        raise WrongUsageError(f"The value must have from 1 to {_MAX_BYTES} bytes; it has {len(value)}.")
    return {"secret": {"payload": base64.b64encode(value).decode(), "payload_content_encoding": "base64"}}


def read_value(file: Path | None, ask_for: Callable[[], str]) -> bytes:
    """The value in a file or on stdin, as it is; typed at a terminal, it is one line without its end.

    Args:
        file: None: stdin.
        ask_for: reads the line without showing it.

    Raises:
        WrongUsageError: the file cannot be read.
    """
    if file is not None:
        try:
            with file.open("rb") as opened:
                return opened.read(_MAX_BYTES + 1)
        except OSError as error:
            raise WrongUsageError(f"{file} cannot be read: {error.strerror}.") from error
    return ask_for().encode() if sys.stdin.isatty() else sys.stdin.buffer.read(_MAX_BYTES + 1)


def changed_line(name: str, used_by: list[str]) -> str:
    """What setting a value does."""
    by = f"; a new revision is made of: {', '.join(used_by)}" if used_by else ""
    return f"the secret '{name}' is set{by}"


def secrets_table(secrets: list[Secret]) -> list[tuple[str, ...]]:
    """The rows of a table."""
    rows: list[tuple[str, ...]] = [("NAME", "CHANGED", "USED BY")]
    rows += [(secret["name"], secret["changed_at"], ",".join(secret["used_by"])) for secret in secrets]
    return rows
