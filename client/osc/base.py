"""What all commands share: the proxy, examples in the help, names of projects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from osc_lib import exceptions as osc_exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from client.errors import CommandError
from client.sdk.proxy import Proxy

Result = TypeVar("Result")


class WithProxy(command.Command):
    """A command of the service. `EXAMPLES` are shown by `--help`."""

    EXAMPLES: tuple[str, ...] = ()

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser, with the examples after the options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        lines = ["Examples:", *(f"  openstack {example}" for example in self.EXAMPLES)]
        parser.epilog = "\n".join(lines if self.EXAMPLES else [])
        return parser

    @property
    def proxy(self) -> Proxy:
        """The client of the service."""
        manager: Any = self.app.client_manager
        found: Proxy = manager.function
        return found

    def project_id(self, name: str, domain: str | None) -> str:
        """The id of a project that is named by id or name; a name may be in several domains."""
        identity: Any = self.app.client_manager.sdk_connection.identity
        scope = {"domain_id": identity.find_domain(domain, ignore_missing=False).id} if domain else {}
        return str(identity.find_project(name, ignore_missing=False, **scope).id)

    def say(self, line: str) -> None:
        """Writes progress, which is no part of the output."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


def shown(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Columns and values of one object; structures stay structures in JSON and YAML."""
    return tuple(fields), tuple(formatted(value) for value in fields.values())


class _UnsortedList(format_columns.ListColumn):
    """osc-lib sorts lists, and sorted words of a command say something else."""

    def human_readable(self) -> str:
        return ", ".join(map(str, self._value))


def formatted(value: Any) -> Any:
    """A value that each formatter can print."""
    if isinstance(value, Mapping):
        return format_columns.DictColumn(dict(value))
    if isinstance(value, (list, tuple)):
        nested = any(isinstance(each, Mapping) for each in value)
        return (format_columns.ListDictColumn if nested else _UnsortedList)(list(value))
    return value


def or_fail(work: Callable[[], Result]) -> Result:
    """The result; the client's own errors become those that OpenStackClient prints."""
    try:
        return work()
    except CommandError as error:
        raise osc_exceptions.CommandError(str(error)) from error


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Adds `--wait` and `--timeout`."""
    parser.add_argument("--wait", action="store_true", help="Wait until the change is in effect")
    parser.add_argument(
        "--timeout", metavar="<seconds>", type=float, default=300.0, help="Maximum wait in seconds (default: 300)"
    )
