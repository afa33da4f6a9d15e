"""`osfaas function invoke`."""

from __future__ import annotations

import sys
from typing import Any

import click

from client.errors import CommandError


@click.command()
@click.argument("name")
@click.argument("path", default="")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME:]CONTAINER/OBJECT",
    help="Object that the function may read. May be repeated.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="[NAME:]CONTAINER/OBJECT",
    help="New object that the function may write. May be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Let outputs replace objects that exist.")
@click.option("-d", "--data", metavar="BODY|@FILE", help="Body of the request; @FILE: from a file, @-: from stdin.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Header field. May be repeated."
)
@click.option("-X", "--request", "method", default="POST", show_default=True, metavar="METHOD", help="Method.")
@click.option(
    "--async",
    "asynchronous",
    is_flag=True,
    help="Print the id of an operation at once; 'osfaas operation' has its result.",
)
@click.option("-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")
def invoke(endpoint: str | None, **call: Any) -> None:
    """Call a function and print its reply.

    NAME is the function; PATH is sent to it and may have a query. The states of inputs and outputs are written to
    stderr. Exit codes: 0 the function succeeded and wrote all outputs, 1 it did not, 2 wrong usage.

    \b
    Examples:
      osfaas function invoke resize '/images/7?width=200' -d @image.png > small.png
      osfaas function invoke thumbnail --input demo/cat.png --output demo/cat-small.png
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.functions.invoke import Invocation, send_invocation  # noqa: PLC0415

    invocation = Invocation(**call)
    try:
        result = with_login(endpoint, lambda login: send_invocation(login, invocation, sys.stdout.buffer.write))
        sys.stdout.buffer.flush()
    except CommandError as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(1)
    for line in result.lines:
        click.echo(f"osfaas: {line}", err=True)
    if not result.succeeded:
        sys.exit(1)
