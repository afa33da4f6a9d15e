"""Options that set fields of a function, in the forms of OpenStackClient."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import click
from osc_lib import exceptions

from client.functions.options import NUMBERS, shares_of
from client.sdk.function import Function

_WORDS = (("--command", "command", "Word of the entrypoint"), ("--arg", "args", "Argument"))


def add_fields(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field but the image."""
    for option, field, smallest, words in NUMBERS:
        help_ = f"{words.rstrip('.')} (at least {smallest})"
        parser.add_argument(option, dest=field, type=int, metavar=f"<{option[2:]}>", help=help_)
    parser.add_argument("--env", action="append", metavar="<name=value>", help="Variable (repeat for several)")
    for option, field, words in _WORDS:
        help_ = f"{words}, in order (repeat for several)"
        parser.add_argument(option, dest=field, action="append", metavar="<word>", help=help_)
    parser.add_argument("--health-path", metavar="<path>", help="Path of the readiness probe")
    objects = parser.add_mutually_exclusive_group()
    objects.add_argument("--objects", action="store_true", default=None, help="Take objects as inputs and outputs")
    objects.add_argument("--no-objects", dest="objects", action="store_false", help="Take no objects")


def fields_of(options: argparse.Namespace, current: Mapping[str, str]) -> dict[str, Any]:
    """The fields that the options set.

    Args:
        options: of the command.
        current: variables of the function, which are kept.

    Raises:
        CommandError: a variable is malformed.
    """
    names = [field for _, field, _, _ in NUMBERS] + [field for _, field, _ in _WORDS] + ["image", "health_path"]
    fields = {name: getattr(options, name, None) for name in names}
    fields = {name: value for name, value in fields.items() if value is not None}
    if options.objects is not None:
        fields["objects"] = options.objects
    if options.env:
        pairs = [text.partition("=") for text in options.env]
        wrong = next((name + sign + value for name, sign, value in pairs if not (name and sign)), None)
        if wrong is not None:
            raise exceptions.CommandError(f"--env {wrong!r} has not the form NAME=VALUE.")
        fields["environment"] = {**current, **{name: value for name, _, value in pairs}}
    return fields


def shares(words: Sequence[str]) -> list[dict[str, Any]]:
    """The shares of revisions in `REVISION[@TAG]=PERCENT`."""
    try:
        return shares_of(tuple(words))
    except click.UsageError as error:
        raise exceptions.CommandError(str(error)) from error


def ready_of(function: Function) -> tuple[Any, str]:
    """Whether a function is ready, and why not."""
    condition = function.condition
    status = condition.get("status")
    return status, "" if status else str(condition.get("reason", ""))


def page_of(function: Function) -> dict[str, Any]:
    """All fields of a function, flat."""
    ready, reason = ready_of(function)
    fields = {**function.to_dict(computed=False, original_names=True)}
    status = fields.pop("status")
    for name in ("id", "location"):
        fields.pop(name, None)
    return {
        "name": fields.pop("name"),
        "ready": ready,
        "reason": reason,
        "message": function.condition.get("message", ""),
        "url": fields.pop("url"),
        "latest_ready_revision": status["latest_ready_revision"],
        "active_revisions": status["active_revisions"],
        **dict(sorted(fields.items())),
    }
