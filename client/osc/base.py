"""What all commands share: the proxy, examples in the help, names of projects."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from osc_lib import exceptions as osc_exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command
from requests import Response

from client.errors import CommandError
from client.outcome import printable
from client.sdk.proxy import Proxy

Result = TypeVar("Result")
# Columns and values, as ShowOne and Lister want them.
Shown = tuple[tuple[str, ...], tuple[Any, ...]]
Listed = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]

FIRST_ERROR = 400
_PIECE_BYTES = 65_536


class _PrintableText:
    """Text output without control characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Writes text. The characters of line ends of the machine are kept."""
        return self._out.write(os.linesep.join(map(printable, text.split(os.linesep))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


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

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Runs the command; names and messages of others get no control of the terminal."""
        out = self.app.stdout
        self.app.stdout = _PrintableText(out)
        try:
            return int(super().run(parsed_args))
        except Exception as error:
            sentence = printable(str(error))
            if sentence == str(error):
                raise
            raise osc_exceptions.CommandError(sentence) from error
        finally:
            self.app.stdout = out

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
        print(printable(line), file=sys.stderr, flush=True)  # noqa: T201 - a command's progress

    def each_of(self, names: Sequence[str], work: Callable[[str], object], not_done: str) -> None:
        """Does the work on each; what fails is said, and is an error in the end."""
        failed = 0
        for name in names:
            try:
                work(name)
            except Exception as error:  # noqa: BLE001 - the others are still done, as other commands do
                failed += 1
                self.say(f"{name}: {error}")
        if failed:
            raise osc_exceptions.CommandError(f"{failed} of {len(names)} {not_done}.")


def shown(fields: Mapping[str, Any]) -> Shown:
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
    add_timeout(parser, 300.0)


def add_timeout(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Adds `--timeout`."""
    help_ = f"Maximum wait in seconds (default: {seconds:.0f})"
    parser.add_argument("--timeout", metavar="<seconds>", type=float, default=seconds, help=help_)


def print_body(answer: Response) -> None:
    """Writes the bytes of a reply."""
    out = sys.stdout.buffer
    for piece in answer.iter_content(_PIECE_BYTES):
        out.write(piece)
    out.flush()
