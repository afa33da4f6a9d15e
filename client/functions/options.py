"""Options that set fields of a function, and the fields that they make. Pure, but for click."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from client.errors import WrongUsageError

Command = Callable[..., None]

# For `osfaas` and `openstack`: option, field of the API, smallest value, help.
NUMBERS = (
    ("--memory", "memory_mib", 32, "Memory of one pod, in MiB."),
    ("--cpu", "cpu_millis", 50, "CPU of one pod, in thousandths of a core."),
    ("--concurrency", "concurrency", 1, "Concurrent calls of one pod."),
    ("--timeout-seconds", "timeout_seconds", 1, "Maximum duration of a call, in seconds."),
    ("--min-scale", "min_scale", 0, "Pods that are kept while nobody calls."),
    ("--max-scale", "max_scale", 1, "Maximum number of pods."),
    ("--port", "port", 1024, "Port on which the function listens."),
    ("--run-as-user", "run_as_user", 1, "Numeric user of the container."),
)
_SHARE = re.compile(r"([a-z0-9-]+)(?:@([a-z][-a-z0-9]*))?=(\d{1,3})")
LATEST = "latest"


def field_options(command: Command) -> Command:
    """Adds an option for each field of a function but its image and its traffic."""
    for option, field, smallest, words in reversed(NUMBERS):
        command = click.option(option, field, type=click.IntRange(smallest), help=words)(command)
    for decorate in (
        click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="Variable. May be repeated."),
        click.option("--unset-env", "unset", multiple=True, metavar="NAME", help="Remove a variable. May be repeated."),
        click.option("--command", "command", multiple=True, metavar="WORD", help="Word of the entrypoint, in order."),
        click.option("--arg", "args", multiple=True, metavar="WORD", help="Argument, in order. May be repeated."),
        click.option("--secret", "secrets", multiple=True, metavar="NAME", help="Mount a secret. May be repeated."),
        click.option(
            "--unset-secret", "unset_secrets", multiple=True, metavar="NAME", help="Do not mount it any more."
        ),
        click.option("--objects/--no-objects", default=None, help="Accept objects as inputs and outputs."),
        click.option("--health-path", help="Path of the readiness probe."),
    ):
        command = decorate(command)
    return command


def fields_of(options: Mapping[str, Any], current: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields that the options set.

    Args:
        options: of the command; an option that was not given is None or empty.
        current: the function as it is, whose other variables are kept; None: it is new.

    Raises:
        WrongUsageError: a variable is malformed.
    """
    fields = {field: options[field] for _, field, _, _ in NUMBERS if options[field] is not None}
    fields |= {field: list(options[field]) for field in ("command", "args") if options[field]}
    fields |= {field: options[field] for field in ("image", "health_path") if options.get(field)}
    if options["secrets"] or options["unset_secrets"]:
        mounted = {*(current["secrets"] if current else ()), *options["secrets"]}
        fields["secrets"] = sorted(mounted - set(options["unset_secrets"]))
    if options["objects"] is not None:
        fields["objects"] = options["objects"]
    if options["environment"] or options["unset"]:
        variables = dict(current["environment"]) if current else {}
        for text in options["environment"]:
            name, sign, value = text.partition("=")
            if not sign or not name:
                raise WrongUsageError(f"--env {text!r} is not of the form NAME=VALUE.")
            variables[name] = value
        for name in options["unset"]:
            variables.pop(name, None)
        fields["environment"] = variables
    return fields


def shares_of(words: Iterable[str]) -> list[dict[str, Any]]:
    """The shares of revisions in `REVISION[@TAG]=PERCENT …`; `latest` is the latest ready revision.

    Raises:
        WrongUsageError: a word is malformed.
    """
    shares = []
    for word in words:
        match = _SHARE.fullmatch(word)
        if not match:
            raise WrongUsageError(f"{word!r} is not of the form REVISION=PERCENT or REVISION@TAG=PERCENT.")
        revision, tag, percent = match.groups()
        shares.append({"percent": int(percent), "revision": None if revision == LATEST else revision, "tag": tag})
    return shares
