"""Triggers and secrets of `conn.function`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from openstack import exceptions

from client.errors import CommandError
from client.functions.secrets import value_document
from client.functions.triggers import specification_of
from client.sdk.base import ServiceProxy
from client.sdk.function import Function, name_of
from client.sdk.secret import Secret
from client.sdk.trigger import Trigger

_NO_CONTENT = 204


class TriggersProxy(ServiceProxy):
    """What makes functions run without a caller, and what they must not show."""

    # --- triggers ---

    def triggers(self, function: str | Function) -> Iterator[Trigger]:
        """The triggers of a function."""
        found: Iterator[Trigger] = self._list(Trigger, paginated=False, function=name_of(function))
        return found

    def get_trigger(self, function: str | Function, trigger: str | Trigger) -> Trigger:
        """A trigger of a function by name."""
        return self._get(Trigger, trigger, function=name_of(function))

    def create_trigger(self, function: str | Function, name: str, **fields: Any) -> Trigger:
        """Creates a trigger of a function; fails if there is one of the name.

        It acts for the user of the connection, by a Keystone trust, until it is deleted.

        Args:
            function: or its name.
            name: of the trigger.
            fields: for new objects `container`, and `prefix`, `output` and `overwrite`; for a schedule `cron`, and
                `time_zone`.
        """
        return self._write_trigger(name_of(function), name, _specification({}, fields), {"If-None-Match": "*"})

    def update_trigger(self, function: str | Function, trigger: str | Trigger, **fields: Any) -> Trigger:
        """Changes fields of a trigger, or renews its trust; it then acts for the user of the connection."""
        name, of = trigger if isinstance(trigger, str) else trigger.name, name_of(function)
        found = self.asked(_trigger_path(of, name), "GET")
        wanted = _specification(found.json()["trigger"], fields)
        return self._write_trigger(of, name, wanted, {"If-Match": found.headers["ETag"]})

    def delete_trigger(
        self, function: str | Function, trigger: str | Trigger, *, ignore_missing: bool = True
    ) -> str | None:
        """Deletes a trigger with its trust; returns what remains in Keystone, as a sentence."""
        name = trigger if isinstance(trigger, str) else trigger.name
        try:
            answer = self.asked(_trigger_path(name_of(function), name), "DELETE")
        except exceptions.NotFoundException:
            if ignore_missing:
                return None
            raise
        return None if answer.status_code == _NO_CONTENT else str(answer.json()["remains"])

    def _write_trigger(
        self, function: str, name: str, wanted: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Trigger:
        answer = self.asked(
            _trigger_path(function, name), "PUT", json={"trigger": dict(wanted)}, headers=dict(headers)
        ).json()
        stored = {**answer["trigger"], "function": function, "remains": answer.get("remains")}
        return Trigger.existing(connection=self._get_connection(), **stored)

    # --- secrets ---

    def secrets(self, **query: Any) -> Iterator[Secret]:
        """The secrets of the project without their values, page by page as they are consumed.

        Args:
            query: `limit` is the size of a page; `marker` the name after which to begin.
        """
        found: Iterator[Secret] = self._list(Secret, **query)
        return found

    def get_secret(self, secret: str | Secret) -> Secret:
        """A secret by name, without its value."""
        return self._get(Secret, secret)

    def set_secret(self, name: str, value: str | bytes) -> Secret:
        """Sets the value of a secret. Functions that mount it get a new revision."""
        try:
            body = value_document(value.encode() if isinstance(value, str) else value)
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error
        answer = self.asked(f"{Secret.base_path}/{quote(name, safe='')}", "PUT", json=body)
        return Secret.existing(connection=self._get_connection(), **answer.json()["secret"])

    def delete_secret(self, secret: str | Secret, *, ignore_missing: bool = True) -> None:
        """Deletes a secret that no function mounts, with all of its values."""
        self._delete(Secret, secret, ignore_missing=ignore_missing)


def _specification(current: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(fields) - {"container", "prefix", "output", "overwrite", "cron", "time_zone"})
    if unknown:
        raise exceptions.InvalidRequest(f"A trigger has no field '{unknown[0]}'.")
    try:
        return specification_of(current, fields)
    except CommandError as error:
        raise exceptions.InvalidRequest(str(error)) from error


def _trigger_path(function: str, name: str) -> str:
    return f"/v1/functions/{quote(function, safe='')}/triggers/{quote(name, safe='')}"
