"""How commands end: their exit codes, and what they print of the words of others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from client.errors import CommandError, NotInTimeError, WrongUsageError

Result = TypeVar("Result")

FAILED, NOT_IN_TIME = 1, 3


def done(work: Callable[[], Result]) -> Result:
    """Returns the result; on failure prints the message to stderr and exits with the code."""
    try:
        return work()
    except WrongUsageError as error:
        raise click.UsageError(str(error)) from error
    except CommandError as error:
        click.echo(f"osfaas: {printable(str(error))}", err=True)
        sys.exit(NOT_IN_TIME if isinstance(error, NotInTimeError) else FAILED)


def printable(text: str) -> str:
    """Without control characters, which names of objects and outputs of functions may have for the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)
