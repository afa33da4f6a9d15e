"""Requests to `/v1/functions/{name}/triggers`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from client.errors import CommandError, WrongUsageError
from client.exchange import RetryPolicy, ask
from client.login import Login

_MAX_BODY = 1 << 20
_JSON = {"Content-Type": "application/json"}


class TriggersClient:
    """The triggers of one function. Methods raise CommandError: the service refuses, or cannot be reached."""

    def __init__(self, login: Login, retry: RetryPolicy, function: str) -> None:
        self._login = login
        self._retry = retry
        self._url = f"{login.gateway}/v1/functions/{quote(function, safe='')}/triggers"

    def every(self) -> list[dict[str, Any]]:
        """All triggers of the function."""
        found: list[dict[str, Any]] = _body(self._ask("GET", ""))["triggers"]
        return found

    def show(self, name: str) -> tuple[dict[str, Any], str]:
        """A trigger and its ETag."""
        response = self._ask("GET", _path(name))
        return _body(response)["trigger"], response.getheader("ETag", "")

    def write(self, name: str, specification: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """Creates or replaces a trigger; the answer."""
        body = json.dumps({"trigger": dict(specification)}).encode()
        return _body(self._ask("PUT", _path(name), headers={**_JSON, **headers}, body=body))

    def delete(self, name: str) -> str | None:
        """Deletes a trigger; what remains in Keystone, as a sentence."""
        response = self._ask("DELETE", _path(name))
        return None if response.status == 204 else str(_body(response)["remains"])  # noqa: PLR2004 - no content

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Any:
        return ask(self._login, self._url + path, retry=self._retry, method=method, headers=headers, body=body)


def specification_of(current: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What fires a trigger: what is given, and what that leaves as it is.

    Args:
        current: the trigger as it is; empty: it is new.
        given: of `container`, `prefix`, `output`, `overwrite`, `cron` and `time_zone`; None: not given.

    Raises:
        WrongUsageError: that is no trigger.
    """
    given = {key: value for key, value in given.items() if value is not None}
    created = {key: given[key] for key in ("container", "prefix", "output", "overwrite") if key in given}
    schedule = {key: given[key] for key in ("cron", "time_zone") if key in given}
    if created and schedule:
        raise WrongUsageError("A trigger has either a container or a schedule.")
    if "output" in created:
        created["output"] = created["output"] or None
    kind = "object_created" if created or (current.get("object_created") and not schedule) else "schedule"
    values = {**(current.get(kind) or {}), **(created or schedule)}
    needed = "container" if kind == "object_created" else "cron"
    if needed not in values:
        raise WrongUsageError("A trigger needs a container, or a schedule of cron.")
    return {kind: values}


def _path(name: str) -> str:
    return f"/{quote(name, safe='')}"


def _body(response: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(response.read(_MAX_BODY))
    except ValueError as error:
        raise CommandError("The gateway's answer is not JSON; is this the URL of the gateway?") from error
    return found
