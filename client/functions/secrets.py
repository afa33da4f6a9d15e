"""Requests to `/v1/secrets`. Values are sent, and never shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from client.errors import CommandError
from client.exchange import RetryPolicy, ask
from client.login import Login

Secret = dict[str, Any]

_MAX_BODY = 1 << 20
_PAGE = 100


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
        fields = {"payload": base64.b64encode(value).decode(), "payload_content_encoding": "base64"}
        found: Secret = self._ask("PUT", f"/{name}", json.dumps({"secret": fields}).encode())["secret"]
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


def secrets_table(secrets: list[Secret]) -> list[tuple[str, ...]]:
    """The rows of a table."""
    rows: list[tuple[str, ...]] = [("NAME", "CHANGED", "USED BY")]
    rows += [(secret["name"], secret["changed_at"], ",".join(secret["used_by"])) for secret in secrets]
    return rows
