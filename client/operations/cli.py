"""`osfaas operation …`. Each command imports its modules when it runs, because help and completion load all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import click

from client.operations.states import STATES
from client.outcome import FAILED, done, printable
from client.output import output_options, render, render_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.operations.api import Operation, OperationsClient

Result = TypeVar("Result")

_RETRY_SECONDS = 30.0
_FIRST_ERROR = 400
_ENDPOINT = click.option("-e", "--endpoint", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")


@click.group()
def operation() -> None:
    """Asynchronous calls of your project."""


@operation.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeatable.")
@click.option("--subject", metavar="NAME", help="Only of this function or object.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Maximum number of operations.")
@output_options
@_ENDPOINT
def list_(endpoint: str | None, form: str, states: tuple[str, ...], subject: str | None, limit: int) -> None:
    """List operations, the newest first."""
    found = _done(endpoint, lambda client: list(client.every(limit=limit, states=states, subject=subject)))
    rows = [("ID", "STATE", "KIND", "SUBJECT", "CREATED", "ATTEMPTS")]
    rows += [
        (each["id"], each["state"], each["kind"], each["subject"], each["created_at"], str(each["attempts"]))
        for each in found
    ]
    click.echo(printable(render(form, found, rows)))


@operation.command()
@click.argument("operation_id", metavar="ID")
@output_options
@_ENDPOINT
def show(endpoint: str | None, operation_id: str, form: str) -> None:
    """Show an operation."""
    _print(_done(endpoint, lambda client: client.show(operation_id)), form)


@operation.command()
@click.argument("operation_id", metavar="ID")
@click.option("--timeout", default=86_400.0, show_default=True, help="How long to wait, in seconds.")
@output_options
@_ENDPOINT
def wait(endpoint: str | None, operation_id: str, timeout: float, form: str) -> None:
    """Wait until an operation has ended.

    Progress is written to stderr. Exit codes: 0 it succeeded, 1 it did not, 2 wrong usage, 3 it has not ended in time.
    """
    from client.operations.api import Wait, progress_line, wait_for_end  # noqa: PLC0415

    terminal, said = sys.stderr.isatty(), [""]

    def say(found: "Operation") -> None:
        line = progress_line(found)
        if line != said[0]:
            # On a terminal the line replaces the one before.
            click.echo(f"\r\033[K{line}" if terminal else line, err=True, nl=not terminal)
            said[0] = line

    found = _done(endpoint, lambda client: wait_for_end(Wait(timeout, lambda: client.show(operation_id), say)))
    if terminal:
        click.echo(err=True)
    _print(found, form)
    if found["state"] != "succeeded":
        sys.exit(FAILED)


@operation.command()
@click.argument("operation_id", metavar="ID")
@_ENDPOINT
def cancel(endpoint: str | None, operation_id: str) -> None:
    """Cancel an operation; a running function loses its connection."""
    found = _done(endpoint, lambda client: client.cancel(operation_id))
    click.echo("cancelled" if found["state"] == "cancelled" else "cancellation requested", err=True)


@operation.command()
@click.argument("operation_id", metavar="ID")
@_ENDPOINT
def result(endpoint: str | None, operation_id: str) -> None:
    """Print the answer of an operation, byte for byte.

    Exit codes: 0 the answer has a status below 400, 1 it has another one or there is none, 2 wrong usage.
    """
    status = _done(endpoint, lambda client: client.result(operation_id, sys.stdout.buffer.write))
    sys.stdout.buffer.flush()
    if status >= _FIRST_ERROR:
        click.echo(f"osfaas: the answer has the status {status}", err=True)
        sys.exit(FAILED)


@operation.command()
@click.argument("operation_id", metavar="ID")
@_ENDPOINT
def retry(endpoint: str | None, operation_id: str) -> None:
    """Retry an operation that has failed or expired."""
    _done(endpoint, lambda client: client.retry(operation_id))
    click.echo("queued", err=True)


def _print(found: "Operation", form: str) -> None:
    from client.operations.api import progress_line  # noqa: PLC0415

    rows = [(name.replace("_", " "), str(found[name])) for name in ("id", "kind", "subject")]
    rows.append(("state", progress_line(found)))
    rows += [(name.replace("_", " "), found[name]) for name in _TIMES if found[name]]
    if found["error"]:
        rows.append(("error", f"{found['error']['code']}: {found['error']['message']}"))
    click.echo(printable(render_one(form, found, rows)))


_TIMES = ("created_at", "started_at", "next_attempt_at", "finished_at", "expires_at", "kept_until")


def _done(endpoint: str | None, work: "Callable[[OperationsClient], Result]") -> Result:
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.operations.api import OperationsClient  # noqa: PLC0415

    return done(lambda: with_login(endpoint, lambda login: work(OperationsClient(login, RetryPolicy(_RETRY_SECONDS)))))
