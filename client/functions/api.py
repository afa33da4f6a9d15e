"""Requests to `/v1/functions`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from client.errors import CommandError
from client.exchange import RetryPolicy, ask
from client.login import Login

Function = dict[str, Any]

_MAX_BODY = 4 << 20
_JSON = {"Content-Type": "application/json"}
_PAGE = 100
_NOT_FOUND = 404


class FunctionsClient:
    """The functions of the project of a login."""

    def __init__(self, login: Login, retry: RetryPolicy) -> None:
        self._login = login
        self._retry = retry
        self._url = f"{login.gateway}/v1/functions"

    def every(self, malformed: dict[str, str] | None = None) -> Iterator[Function]:
        """All functions, page by page.

        Args:
            malformed: gets the records that the service cannot read: by name, the message.

        Raises:
            CommandError: the service refuses, or cannot be reached; so do all methods.
        """
        marker = ""
        while True:
            page = self._get(f"?limit={_PAGE}" + (f"&marker={marker}" if marker else ""))
            if malformed is not None:
                malformed |= {each["name"]: each["message"] for each in page.get("functions_malformed", ())}
            yield from page["functions"]
            if not page.get("functions_links"):
                return
            marker = page["functions"][-1]["name"]

    def find(self, name: str) -> tuple[Function, str] | None:
        """A function and its ETag, or None."""
        try:
            response = self._ask("GET", f"/{name}")
        except CommandError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return _body(response)["function"], response.getheader("ETag", "")

    def show(self, name: str) -> Function:
        """A function."""
        found: Function = self._get(f"/{name}")["function"]
        return found

    def create(self, name: str, fields: Mapping[str, Any]) -> tuple[Function, bool]:
        """Creates a function; with it, whether anything changed."""
        return self._write("PUT", name, fields, {"If-None-Match": "*"})

    def change(self, name: str, fields: Mapping[str, Any], *, etag: str | None = None) -> tuple[Function, bool]:
        """Changes fields of a function; with it, whether anything changed.

        Args:
            name: of the function.
            fields: null restores a default.
            etag: of the version to change; None: any.
        """
        return self._write("PATCH", name, fields, {"If-Match": etag} if etag else {})

    def put_source(self, name: str, archive: bytes) -> str:
        """Stores an archive; returns its digest."""
        headers = {"Content-Type": "application/gzip"}
        found = _body(self._ask("PUT", f"/{name}/source", headers=headers, body=archive))
        return str(found["source"]["digest"])

    def build_logs(self, name: str, *, tail: int) -> list[dict[str, Any]]:
        """The ends of the outputs of the pods of the last build, the newest first."""
        found: list[dict[str, Any]] = self._get(f"/{name}/build-logs?tail={tail}")["logs"]
        return found

    def delete(self, name: str) -> None:
        """Deletes a function."""
        self._ask("DELETE", f"/{name}")

    def revisions(self, name: str) -> list[dict[str, Any]]:
        """The revisions of a function, the newest first."""
        found: list[dict[str, Any]] = self._get(f"/{name}/revisions")["revisions"]
        return found

    def logs(self, name: str, *, tail: int) -> list[dict[str, Any]]:
        """The ends of the outputs of a function's containers."""
        found: list[dict[str, Any]] = self._get(f"/{name}/logs?tail={tail}")["logs"]
        return found

    def metrics(self, name: str) -> dict[str, Any]:
        """Calls, errors, durations and cold starts of a function's revisions."""
        found: dict[str, Any] = self._get(f"/{name}/metrics")["metrics"]
        return found

    def _write(
        self, method: str, name: str, fields: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[Function, bool]:
        body = json.dumps({"function": dict(fields)}).encode()
        answer = _body(self._ask(method, f"/{name}", headers={**_JSON, **headers}, body=body))
        return answer["function"], bool(answer["changed"])

    def _get(self, path: str) -> dict[str, Any]:
        return _body(self._ask("GET", path))

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Any:
        return ask(self._login, self._url + path, retry=self._retry, method=method, headers=headers, body=body)


def _body(response: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(response.read(_MAX_BODY))
    except ValueError as error:
        raise CommandError("The gateway's answer is not JSON; is this the URL of the gateway?") from error
    return found
