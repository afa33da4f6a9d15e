"""`osfaas checksum sweep`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from client.outcome import FAILED, done, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.sweeps import Sweep, SweepsClient

Result = TypeVar("Result")

_RETRY_SECONDS = 30.0


@click.command()
@click.argument("container")
@click.option("--prefix", default="", metavar="PREFIX", help="Only objects whose names begin with PREFIX.")
@click.option(
    "-t", "--type", "--algorithm", "algorithms", multiple=True, metavar="TYPE", help="Algorithm; may be repeated."
)
@click.option("--against", metavar="CONTAINER/OBJECT", help="Dump with which the container is compared.")
@click.option("--dump-prefix", default="", metavar="TEXT", help="Text that is removed from each path of the dump.")
@click.option("--store", is_flag=True, help="Store the checksums in the objects' metadata.")
@click.option("--force", is_flag=True, help="Read every object, and compare its bytes with its ETag.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["csv", "md5sum"]),
    help="Form of the results besides JSON lines; may be repeated.",
)
@click.option("--output", metavar="CONTAINER[/PREFIX]", help="Where the results are written. Default: sweeps.")
@click.option("--max-bytes", type=click.IntRange(1), metavar="N", help="Maximum bytes read per second.")
@click.option("--max-requests", type=click.IntRange(1), metavar="N", help="Maximum requests to the store per second.")
@click.option("--wait", is_flag=True, help="Wait for the end, with progress on stderr.")
@click.option("--timeout", default=2_592_000.0, show_default=True, help="How long to wait, in seconds.")
@click.option("-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or the gateway's URL.")
def sweep(endpoint: str | None, *, wait: bool, timeout: float, **naming: Any) -> None:
    """Read all objects of a container, and compare it with a dump.

    The work is done by the service, and goes on without this command: 'osfaas operation' shows and cancels it. The id
    is printed; with --wait what was found. Exit codes: 0 accepted, or nothing was found; 1 something was found, or
    the sweep failed; 2 wrong usage; 3 it has not ended in time.

    \b
    Examples:
      osfaas checksum sweep demo --wait
      osfaas checksum sweep demo --prefix raw/ --against dumps/rucio.csv --format csv
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.sweeps import SweepOrder, summary_lines  # noqa: PLC0415

    order = SweepOrder(**naming)
    begun = _done(endpoint, lambda client: client.begin(order))
    click.echo(begun["id"])
    if not wait:
        return
    ended = _waited(endpoint, begun["id"], timeout)
    if ended["state"] != "succeeded":
        error = ended["error"] or {"message": f"The sweep is {ended['state']}."}
        click.echo(f"osfaas: {printable(error['message'])}", err=True)
        sys.exit(FAILED)
    summary = _done(endpoint, lambda client: client.summary(begun["id"]))
    for line in summary_lines(summary):
        click.echo(printable(line))
    if any(summary["findings"].values()):
        sys.exit(FAILED)


def _waited(endpoint: str | None, sweep_id: str, timeout: float) -> "Sweep":
    from client.sweeps import sweep_line  # noqa: PLC0415

    terminal, said = sys.stderr.isatty(), [""]

    def say(found: "Sweep") -> None:
        line = printable(sweep_line(found))
        if line != said[0]:
            # On a terminal the line replaces the one before.
            click.echo(f"\r\033[K{line}" if terminal else line, err=True, nl=not terminal)
            said[0] = line

    found = _done(endpoint, lambda client: client.wait(sweep_id, timeout, say))
    if terminal:
        click.echo(err=True)
    return found


def _done(endpoint: str | None, work: "Callable[[SweepsClient], Result]") -> Result:
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.sweeps import SweepsClient  # noqa: PLC0415

    return done(lambda: with_login(endpoint, lambda login: work(SweepsClient(login, RetryPolicy(_RETRY_SECONDS)))))
