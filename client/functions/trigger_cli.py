"""`osfaas function trigger …`: what makes a function run without a caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from client.outcome import done, printable
from client.output import output_options, render, render_one

if TYPE_CHECKING:
    from client.functions.triggers import TriggersClient

Result = TypeVar("Result")
Command = Callable[..., None]

EXIT_CODES = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage."
_RETRY_SECONDS = 30.0


@click.group(epilog=EXIT_CODES)
def trigger() -> None:
    """Triggers of a function: new objects, and schedules."""


def _endpoint(command: Command) -> Command:
    return click.option("-e", "--endpoint", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")(
        command
    )


def _fields(command: Command) -> Command:
    for decorate in (
        click.option("--time-zone", metavar="NAME", help="Time zone of --cron, such as Europe/Zurich. Default: UTC."),
        click.option("--cron", metavar="'M H D M W'", help="Run at times: minute, hour, day, month, day of the week."),
        click.option("--overwrite/--no-overwrite", default=None, help="Let outputs replace objects that exist."),
        click.option(
            "--output",
            "output",
            metavar="CONTAINER/NAME",
            help="New object that the function may write. {object}, {rest}, {basename} and {stem} stand for the name "
            "of the input, the part after the prefix, its last part, and that without its suffix.",
        ),
        click.option("--prefix", metavar="TEXT", help="Beginning of the names of these objects. Default: all."),
        click.option("--container", metavar="NAME", help="Run when an object is created in this container."),
    ):
        command = decorate(command)
    return command


@trigger.command(epilog=EXIT_CODES)
@click.argument("function")
@click.argument("name")
@_fields
@_endpoint
def create(function: str, name: str, endpoint: str | None, **options: Any) -> None:
    """Create a trigger of a function.

    It acts for you, by a Keystone trust with your role on the project, until it is deleted.

    \b
    Examples:
      osfaas function trigger create thumbnail uploads --container photos --prefix in/ --output 'photos/small/{rest}'
      osfaas function trigger create report nightly --cron '0 3 * * *' --time-zone Europe/Zurich
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    _write(endpoint, function, name, options, new=True)


@trigger.command("set", epilog=EXIT_CODES)
@click.argument("function")
@click.argument("name")
@_fields
@_endpoint
def set_(function: str, name: str, endpoint: str | None, **options: Any) -> None:
    """Change a trigger or renew its trust; it then acts for you."""
    _write(endpoint, function, name, options, new=False)


@trigger.command("list", epilog=EXIT_CODES)
@click.argument("function")
@_endpoint
@output_options
def list_(function: str, endpoint: str | None, form: str) -> None:
    """List the triggers of a function."""
    from client.functions.trigger_output import trigger_rows  # noqa: PLC0415

    found = _done(endpoint, function, lambda client: client.every())
    click.echo(printable(render(form, found, trigger_rows(found))))


@trigger.command(epilog=EXIT_CODES)
@click.argument("function")
@click.argument("name")
@_endpoint
@output_options
def show(function: str, name: str, endpoint: str | None, form: str) -> None:
    """Show what fires a trigger, its last firing and its conditions."""
    _print(_done(endpoint, function, lambda client: client.show(name)[0]), form)


@trigger.command(epilog=EXIT_CODES)
@click.argument("function")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_endpoint
def delete(function: str, name: str, yes: bool, endpoint: str | None) -> None:
    """Delete a trigger, and its trust."""
    if not yes:
        click.confirm(f"Delete the trigger '{name}' of the function '{function}'?", abort=True)
    remains = _done(endpoint, function, lambda client: client.delete(name))
    click.echo(f"osfaas: the trigger '{name}' is deleted", err=True)
    if remains:
        click.echo(f"osfaas: {remains}", err=True)


def _write(endpoint: str | None, function: str, name: str, options: Mapping[str, Any], *, new: bool) -> None:
    from client.functions.triggers import specification_of  # noqa: PLC0415

    def work(client: "TriggersClient") -> dict[str, Any]:
        if new:
            return client.write(name, specification_of({}, options), {"If-None-Match": "*"})
        current, etag = client.show(name)
        return client.write(name, specification_of(current, options), {"If-Match": etag})

    answer = _done(endpoint, function, work)
    click.echo("stored" if answer["changed"] else "nothing to change", err=True)
    if answer.get("remains"):
        click.echo(f"osfaas: {answer['remains']}", err=True)
    _print(answer["trigger"], "table")


def _print(shown: dict[str, Any], form: str) -> None:
    from client.functions.trigger_output import trigger_fields  # noqa: PLC0415

    click.echo(printable(render_one(form, shown, trigger_fields(shown))))


def _done(endpoint: str | None, function: str, work: "Callable[[TriggersClient], Result]") -> Result:
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.functions.triggers import TriggersClient  # noqa: PLC0415

    retry = RetryPolicy(_RETRY_SECONDS)
    return done(lambda: with_login(endpoint, lambda login: work(TriggersClient(login, retry, function))))
