"""`osfaas function …`: a project's own functions. Each command imports its modules when it runs.

The commands that need no record of a function are in modules of their own: `init`, `serve`, and `invoke`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from client.functions.commands import invoke
from client.functions.init import init
from client.functions.options import field_options, fields_of, shares_of
from client.functions.secret_commands import secret
from client.functions.serve import serve
from client.functions.trigger_cli import trigger
from client.outcome import FAILED, done, printable
from client.output import output_options, render, render_one

if TYPE_CHECKING:
    from client.functions.api import Function, FunctionsClient
    from client.functions.folder import Folder

Result = TypeVar("Result")
Command = Callable[..., None]

EXIT_CODES = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not ready in time."
_RETRY_SECONDS = 30.0
_ALL = 100
# The condition of a change of shares; the latest revision may be broken, which is why they are changed.
_SHARED = "TrafficAssigned"
_BUILD_LINES = 50


@click.group(epilog=EXIT_CODES)
def function() -> None:
    """Functions of your project."""


for command in (init, serve, invoke, secret, trigger):
    function.add_command(command)


def _endpoint(command: Command) -> Command:
    return click.option(
        "-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway."
    )(command)


def _waits(command: Command) -> Command:
    for decorate in (
        click.option("--timeout", default=300.0, show_default=True, help="Maximum wait, in seconds."),
        click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the change is in effect."),
    ):
        command = decorate(command)
    return output_options(_endpoint(command))


@function.command(epilog=EXIT_CODES)
@click.argument("name", metavar="FOLDER|NAME")
@click.option("--image", help="Image by digest: HOST/REPOSITORY@sha256:…. Then NAME is the function's name.")
@field_options
@click.option("--no-traffic", is_flag=True, help="Leave the calls with the revisions that get them now.")
@click.option("--again", is_flag=True, help="Build and make a revision again, even of the same specification.")
@_waits
def deploy(name: str, no_traffic: bool, again: bool, **options: Any) -> None:
    """Create a function from a folder or an image, or change it.

    A folder with main.py or func.py is built on the platform; the function has the folder's name. Settings that are not
    given stay. Calls go to the new revision when it is ready.
    """
    folder = _folder(name, options)
    name = folder.name if folder else name

    def work(client: "FunctionsClient") -> tuple["Function", bool]:
        found = client.find(name)
        current, etag = found or (None, None)
        fields = fields_of(options, current)
        if folder:
            from client.functions.building import Progress, upload  # noqa: PLC0415

            fields = {**folder.settings, **fields}
            fields["source"] = upload(client, folder, current, Progress(lambda line: click.echo(line, err=True)))
        if current is None:
            if not folder and "image" not in fields:
                raise click.UsageError(f"There is no folder '{name}', and no function of that name: give its --image.")
            return client.create(name, fields)
        fields["traffic"] = _kept(current) if no_traffic else None
        if again:
            fields["attempt"] = current["attempt"] + 1
        return client.change(name, fields, etag=etag)

    _finish(name, work, options)


@function.command("set", epilog=EXIT_CODES)
@click.argument("name")
@field_options
@_waits
def set_(name: str, **options: Any) -> None:
    """Change settings of a function."""

    def work(client: "FunctionsClient") -> tuple["Function", bool]:
        current = client.show(name)
        return client.change(name, fields_of(options, current))

    _finish(name, work, options)


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="REVISION[@TAG]=PERCENT...")
@_waits
def traffic(name: str, shares: tuple[str, ...], **options: Any) -> None:
    """Share the calls between revisions.

    REVISION is a name, or 'latest' for the latest one that became ready.

    \b
    Example:
      osfaas function traffic hello hello-3f9c2a1b=90 latest@canary=10
    """  # noqa: D301 - click needs the character, which keeps the lines of the example
    _finish(name, lambda client: client.change(name, {"traffic": shares_of(shares)}), options, _SHARED)


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option("--to", "revision", metavar="REVISION", help="The revision. Default: the one before the present one.")
@_waits
def rollback(name: str, revision: str | None, **options: Any) -> None:
    """Send all calls to an earlier revision. The next deploy ends it."""
    from client.functions.revisions import previous_revision  # noqa: PLC0415

    def work(client: "FunctionsClient") -> tuple["Function", bool]:
        chosen = revision or previous_revision(client.revisions(name), name)
        return client.change(name, {"traffic": [{"percent": _ALL, "revision": chosen, "tag": None}]})

    _finish(name, work, options, _SHARED)


@function.command("list", epilog=EXIT_CODES)
@_endpoint
@output_options
def list_(endpoint: str | None, form: str) -> None:
    """List the functions of the project."""
    from client.functions.output import function_rows  # noqa: PLC0415

    malformed: dict[str, str] = {}
    functions = _done(endpoint, lambda client: list(client.every(malformed)))
    click.echo(printable(render(form, functions, function_rows(functions))))
    for message in malformed.values():
        click.echo(f"osfaas: not listed: {printable(message)}", err=True)


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@_endpoint
@output_options
def show(name: str, endpoint: str | None, form: str) -> None:
    """Show settings, conditions and calls of a function.

    Calls, errors and durations are counted by the gateway's processes, each since its start.
    """

    def work(client: "FunctionsClient") -> "Function":
        return {**client.show(name), "metrics": client.metrics(name)}

    _print(_done(endpoint, work), form)


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@_endpoint
@output_options
def revisions(name: str, endpoint: str | None, form: str) -> None:
    """List the revisions of a function, the newest first."""
    from client.functions.output import revision_rows  # noqa: PLC0415

    found = _done(endpoint, lambda client: client.revisions(name))
    click.echo(printable(render(form, found, revision_rows(found))))


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option("--tail", default=100, show_default=True, help="Maximum number of lines of each container.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what follows, until Ctrl-C or for a quarter of an hour.")
@click.option("--build", is_flag=True, help="Of the last build, in place of the function.")
@_endpoint
def logs(name: str, tail: int, follow: bool, build: bool, endpoint: str | None) -> None:
    """Print the output of a function, or of its last build."""
    if follow and build:
        raise click.UsageError("--follow and --build exclude each other: the output of a build is read at once")
    if follow:
        return _follow(name, tail, endpoint)
    if build:
        return _print_build_logs(_done(endpoint, lambda client: client.build_logs(name, tail=tail)))
    found = _done(endpoint, lambda client: client.logs(name, tail=tail))
    for log in found:
        state = "running" if log["running"] else "ended"
        click.echo(f"== {log['pod']} ({log['revision']}, {state})", err=True)
        click.echo(printable(log["text"]), nl=not log["text"].endswith("\n"))
    if not found:
        click.echo("osfaas: no container of the function has output; it may be scaled to zero", err=True)
    return None


@function.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_endpoint
def delete(name: str, yes: bool, endpoint: str | None) -> None:
    """Delete a function with all its revisions."""
    if not yes:
        click.confirm(f"Delete the function '{name}' with all its revisions?", abort=True)
    _done(endpoint, lambda client: client.delete(name))
    click.echo(f"osfaas: the function '{name}' is deleted", err=True)


def _follow(name: str, tail: int, endpoint: str | None) -> None:
    from client.access import with_login  # noqa: PLC0415
    from client.functions.follow import follow_logs  # noqa: PLC0415

    last = ""

    def show(pod: str, revision: str, text: str) -> None:
        nonlocal last
        if pod != last:
            click.echo(f"== {pod} ({revision})", err=True)
            last = pod
        click.echo(printable(text), nl=not text.endswith("\n"))

    why = done(lambda: with_login(endpoint, lambda login: follow_logs(login, name, tail, show)))
    click.echo(f"osfaas: {why}", err=True)


def _folder(name: str, options: Mapping[str, Any]) -> "Folder | None":
    """The folder to deploy; None if an image is given, or there is no such folder."""
    if options["image"] or not Path(name).is_dir():
        return None

    try:
        from client.functions.folder import read_folder  # noqa: PLC0415
    except ImportError:
        click.echo("osfaas: a folder is deployed with Python 3.11 or later, and the package osfaas-builder.", err=True)
        sys.exit(FAILED)
    return done(lambda: read_folder(Path(name)))


def _print_build_logs(logs: list[dict[str, Any]]) -> None:
    for log in reversed(logs):
        click.echo(f"== {log['pod']} ({'running' if log['running'] else 'ended'})", err=True)
        click.echo(printable(log["text"]), nl=not log["text"].endswith("\n"))
    if not logs:
        click.echo("osfaas: there is no output of a build; it is kept for an hour", err=True)


def _finish(
    name: str,
    work: "Callable[[FunctionsClient], tuple[Function, bool]]",
    options: dict[str, Any],
    condition: str = "Ready",
) -> None:
    """Makes a change, waits for it and prints the function."""
    endpoint = options["endpoint"]
    changed_function, changed = _done(endpoint, work)
    click.echo("stored" if changed else "nothing to change", err=True)
    if options["wait"]:
        changed_function = _done(endpoint, lambda client: _wait(client, name, options["timeout"], condition))
    _print(changed_function, options["form"])


def _wait(client: "FunctionsClient", name: str, seconds: float, condition: str) -> "Function":
    from client.functions.building import BuildStages  # noqa: PLC0415
    from client.functions.waiting import Wait, wait_until_ready  # noqa: PLC0415

    def say(line: str) -> None:
        click.echo(printable(line), err=True)

    stages = BuildStages(lambda: client.build_logs(name, tail=_BUILD_LINES), say)
    return wait_until_ready(Wait(seconds, lambda: client.show(name), say, stages=stages.show, condition=condition))


def _print(shown: "Function", form: str) -> None:
    from client.functions.output import page_rows  # noqa: PLC0415

    click.echo(printable(render_one(form, shown, page_rows(shown))))


def _done(endpoint: str | None, work: "Callable[[FunctionsClient], Result]") -> Result:
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.functions.api import FunctionsClient  # noqa: PLC0415

    retry = RetryPolicy(_RETRY_SECONDS)
    return done(lambda: with_login(endpoint, lambda login: work(FunctionsClient(login, retry))))


def _kept(current: "Function") -> list[dict[str, Any]] | None:
    """The shares that leave the calls where they are."""
    if current["traffic"]:
        kept: list[dict[str, Any]] = current["traffic"]
        return kept
    ready = current["status"]["latest_ready_revision"]
    return [{"percent": _ALL, "revision": ready, "tag": None}] if ready else None
