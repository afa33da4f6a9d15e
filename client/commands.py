"""`osfaas checksum …`. Each command imports its work when it runs; `get` has to start in a blink."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from client.errors import CommandError

if TYPE_CHECKING:
    from client.checksums import Question

DEFAULT_ALGORITHM = "adler32"
DEFAULT_PATIENCE_SECONDS = 120.0


@click.group()
def checksum() -> None:
    """Checksums of objects in Swift and S3."""


def _naming(command: Callable[..., None]) -> Callable[..., None]:
    """What names an object and a digest, with the option names of dynafed-storage among ours."""
    for decorate in (
        click.argument("words", nargs=-1, metavar="[[TYPE] PATH]"),
        click.option(
            "--patience", default=DEFAULT_PATIENCE_SECONDS, show_default=True, help="Seconds of trying again."
        ),
        click.option("--base", "bases", multiple=True, metavar="URL", help="One more URL before container/object."),
        click.option("-t", "--type", "--hash_type", "algorithm", metavar="TYPE", help="adler32 (default), md5, …"),
        click.option("-u", "--url", metavar="URL", help="The object: its URL in Swift or S3, or container/object."),
        click.option("-e", "--endpoint", metavar="NAME|URL", help="A cloud of clouds.yaml, or the gateway's URL."),
        # dynafed-storage has these; they mean nothing here, and a script that passes them shall not break.
        click.option("-v", "--verbose", is_flag=True, hidden=True, expose_value=False),
        click.option("-c", "--config", multiple=True, hidden=True, expose_value=False),
        click.option("--logfile", hidden=True, expose_value=False),
        click.option("--loglevel", hidden=True, expose_value=False),
        click.option("--stdout", is_flag=True, hidden=True, expose_value=False),
    ):
        command = decorate(command)
    return command


@checksum.command()
@_naming
def get(endpoint: str | None, **naming: Any) -> None:
    """Print a checksum, and nothing else.

    The object is named by --url, or as an XRootD server does it: PATH, or TYPE PATH and who asks.
    """
    from client.access import with_login  # noqa: PLC0415
    from client.checksums import get_digest  # noqa: PLC0415

    question = _question(**naming)
    click.echo(_done(lambda: with_login(endpoint, lambda login: get_digest(login, question))))


@checksum.command()
@_naming
@click.option("--checksum", "value", required=True, metavar="VALUE", help="The checksum, in hex.")
@click.option("-f", "--force", is_flag=True, help="Compute it anew and replace what is kept.")
def put(endpoint: str | None, value: str, force: bool, **naming: Any) -> None:
    """Keep a checksum with its object, if it is the right one."""
    from client.access import with_login  # noqa: PLC0415
    from client.checksums import put_digest  # noqa: PLC0415

    question = _question(**naming)
    _done(lambda: with_login(endpoint, lambda login: put_digest(login, question, value, force=force)))


def _question(
    *, words: tuple[str, ...], url: str | None, algorithm: str | None, bases: tuple[str, ...], patience: float
) -> "Question":
    from client.checksums import Question  # noqa: PLC0415
    from client.exchange import Patience  # noqa: PLC0415

    where, name = _object_of(words, url, algorithm)
    return Question(where, name, bases, Patience(patience))


def _object_of(words: tuple[str, ...], url: str | None, algorithm: str | None) -> tuple[str, str]:
    """The object and the algorithm, from either form."""
    if url is not None and words:
        raise click.UsageError("The object is named twice.")
    if url is None and not words:
        raise click.UsageError("Name an object: -u URL, or PATH.")
    if url is not None:
        return url, algorithm or DEFAULT_ALGORITHM
    if len(words) == 1:
        return words[0], algorithm or DEFAULT_ALGORITHM
    if algorithm is not None:
        raise click.UsageError("The type is named twice.")
    return words[1], words[0]


def _done(work: Callable[[], Any]) -> Any:
    """The result of the work; a failure becomes a sentence on stderr and status 1."""
    try:
        return work()
    except CommandError as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(1)
