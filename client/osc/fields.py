"""Options that set fields of a function, in the forms of OpenStackClient."""

from __future__ import annotations

import argparse
from typing import Any

from client.functions.options import NUMBERS
from client.functions.options import fields_of as set_fields
from client.sdk.function import Function
from client.sdk.trigger import Trigger

_WORDS = (("--command", "command", "Word of the entrypoint"), ("--arg", "args", "Argument"))


def add_fields(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field but the image."""
    for option, field, smallest, words in NUMBERS:
        help_ = f"{words.rstrip('.')} (at least {smallest})"
        parser.add_argument(option, dest=field, type=int, metavar=f"<{option[2:]}>", help=help_)
    parser.add_argument("--env", action="append", metavar="<name=value>", help="Variable (repeat for several)")
    parser.add_argument(
        "--secret", action="append", metavar="<secret>", help="Secret that is mounted (repeat for several)"
    )
    for option, field, words in _WORDS:
        help_ = f"{words}, in order (repeat for several)"
        parser.add_argument(option, dest=field, action="append", metavar="<word>", help=help_)
    parser.add_argument("--health-path", metavar="<path>", help="Path of the readiness probe")
    objects = parser.add_mutually_exclusive_group()
    objects.add_argument("--objects", action="store_true", default=None, help="Accept objects as inputs and outputs")
    objects.add_argument("--no-objects", dest="objects", action="store_false", help="Accept no objects")


def fields_of(options: argparse.Namespace, current: Function | None) -> dict[str, Any]:
    """The fields that the options set.

    Args:
        options: of the command.
        current: the function as it is, whose other variables and secrets are kept; None: they are not needed.

    Raises:
        CommandError: a variable is malformed.
    """
    lists = {"environment": options.env or (), "secrets": options.secret or (), "unset": (), "unset_secrets": ()}
    kept = {"environment": current.environment, "secrets": current.secrets} if current else None
    return set_fields({**vars(options), **lists}, kept)


def ready_of(function: Function | Trigger) -> tuple[Any, str]:
    """Whether a function or a trigger is ready, and why not."""
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
