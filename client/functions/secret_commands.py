"""`osfaas function secret …`. No value is ever an argument: other users of a machine can list those."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from client.outcome import done
from client.output import output_options, render

if TYPE_CHECKING:
    from client.functions.secrets import SecretsClient

Result = TypeVar("Result")
Command = Callable[..., None]

_RETRY_SECONDS = 30.0


def _endpoint(command: Command) -> Command:
    return click.option("-e", "--endpoint", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")(
        command
    )


@click.group()
def secret() -> None:
    """Secrets for your project's functions.

    A function gets those that 'deploy --secret NAME' names, each as a file: /run/secrets/NAME.
    """


@secret.command("set")
@click.argument("name")
@click.option("--from-file", "file", type=click.Path(path_type=Path), help="File with the value. Default: stdin.")
@_endpoint
def set_(name: str, file: Path | None, endpoint: str | None) -> None:
    """Set the value of a secret. Functions that use it get a new revision.

    The value is taken as it is, a newline at its end included; typed at a terminal, it is one line without.
    """
    from client.functions.secrets import changed_line, read_value  # noqa: PLC0415

    def ask_for() -> str:
        typed: str = click.prompt("Value", hide_input=True, err=True)
        return typed

    value = done(lambda: read_value(file, ask_for))
    used = _done(endpoint, lambda client: client.set(name, value))["used_by"]
    click.echo(f"osfaas: {changed_line(name, used)}", err=True)


@secret.command("list")
@_endpoint
@output_options
def list_(endpoint: str | None, form: str) -> None:
    """List names, when they changed, and which functions use them."""
    from client.functions.secrets import secrets_table  # noqa: PLC0415

    found = _done(endpoint, lambda client: list(client.every()))
    click.echo(render(form, found, secrets_table(found)))


@secret.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_endpoint
def delete(name: str, yes: bool, endpoint: str | None) -> None:
    """Delete a secret that no function uses, with all of its values."""
    if not yes:
        click.confirm(f"Delete the secret '{name}'?", abort=True)
    _done(endpoint, lambda client: client.delete(name))
    click.echo(f"osfaas: the secret '{name}' is deleted", err=True)


def _done(endpoint: str | None, work: "Callable[[SecretsClient], Result]") -> Result:
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.functions.secrets import SecretsClient  # noqa: PLC0415

    retry = RetryPolicy(_RETRY_SECONDS)
    return done(lambda: with_login(endpoint, lambda login: work(SecretsClient(login, retry))))
