"""`osfaas checksum …`. Each command imports its modules when it runs, because `get` has to start quickly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

import click

from client.errors import CommandError
from client.outcome import done
from client.sweep_command import sweep

if TYPE_CHECKING:
    from client.checksums import ChecksumQuery
    from client.login import Login

# Where one digest is printed for an object; the gateway's own default is more than one, and this is its first.
DEFAULT_ALGORITHM = "adler32"
_ALGORITHM = f"Algorithm: {DEFAULT_ALGORITHM} (default), md5, sha256, …"
DEFAULT_RETRY_SECONDS = 120.0
_RETRY = "How long a busy or unreachable service is retried, in seconds."


@click.group()
def checksum() -> None:
    """Checksums of objects in Swift and S3."""


def _naming(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the arguments that name an object and an algorithm, with dynafed-storage's option names as aliases."""
    for decorate in (
        click.argument("words", nargs=-1, metavar="[[TYPE] PATH]"),
        click.option("--retry-seconds", default=DEFAULT_RETRY_SECONDS, show_default=True, help=_RETRY),
        click.option(
            "--base",
            "bases",
            multiple=True,
            metavar="URL",
            help="Additional URL prefix of container/object. May be repeated.",
        ),
        click.option(
            "-t",
            "--type",
            "--hash_type",
            "--algorithm",
            "algorithm",
            metavar="TYPE",
            help=_ALGORITHM,
        ),
        click.option("-u", "--url", metavar="URL", help="URL of the object in Swift or S3, or container/object."),
        click.option(
            "-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway."
        ),
        # Options of dynafed-storage: accepted and ignored, so that existing scripts work.
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
@click.option(
    "--async",
    "asynchronous",
    is_flag=True,
    help="Print the id of an operation at once; 'osfaas operation' has its result.",
)
def get(endpoint: str | None, asynchronous: bool, **naming: Any) -> None:
    """Print the checksum of one object, or of several.

    Name the object by --url, by PATH (container/object), or in XRootD's form: TYPE PATH [CLIENT]. Several PATHs print
    lines in md5sum's format; the exit code is 1 if one of them failed.

    \b
    Examples:
      osfaas checksum get demo/file.txt
      osfaas checksum get -t sha256 demo/file.txt demo/other.txt
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.checksums import get_digest, start_digest  # noqa: PLC0415

    if naming["url"] is None and _are_objects(naming["words"]):
        if asynchronous:
            raise click.UsageError("--async takes one object.")
        return _get_many(endpoint, **naming)
    query = _query(**naming)
    if asynchronous:
        return click.echo(done(lambda: with_login(endpoint, lambda login: start_digest(login, query))))
    return click.echo(done(lambda: with_login(endpoint, lambda login: get_digest(login, query))))


@checksum.command()
@_naming
@click.option("--checksum", "value", required=True, metavar="VALUE", help="Expected value, in hex.")
@click.option("-f", "--force", is_flag=True, help="Recompute the checksum, and replace a stored one.")
def put(endpoint: str | None, value: str, force: bool, **naming: Any) -> None:
    """Store a checksum in the object's metadata, if it is correct."""
    from client.access import with_login  # noqa: PLC0415
    from client.checksums import put_digest  # noqa: PLC0415

    query = _query(**naming)
    stored = done(lambda: with_login(endpoint, lambda login: put_digest(login, query, value, force=force)))
    # On stderr: storage federations read stdout.
    click.echo(f"osfaas: {query.algorithm} {stored} is correct and stored with the object", err=True)


@checksum.command("list")
@click.argument("container")
@click.option("--prefix", default="", metavar="PREFIX", help="Only objects whose names begin with PREFIX.")
@click.option(
    "-t",
    "--type",
    "--algorithm",
    "algorithm",
    default=DEFAULT_ALGORITHM,
    metavar="TYPE",
    help=_ALGORITHM,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["md5sum", "json"]),
    default="md5sum",
    show_default=True,
    help="Output format.",
)
@click.option("--store", is_flag=True, help="Store the checksums in the objects' metadata.")
@click.option(
    "--names",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Names of the objects, one on each line (-: stdin), where the container cannot be listed in Swift.",
)
@click.option("-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")
@click.option("--retry-seconds", default=DEFAULT_RETRY_SECONDS, show_default=True, help=_RETRY)
def list_(endpoint: str | None, form: str, retry_seconds: float, *, names: TextIO | None, **naming: Any) -> None:
    """Print the checksums of all objects of a container.

    The output has md5sum's format, which 'osfaas checksum verify' reads, or one JSON object per line. Errors and a
    summary are written to stderr. Exit codes: 0 all checksums printed, 1 some failed or no object has the prefix, 2
    wrong usage.

    \b
    Examples:
      osfaas checksum list demo --prefix raw/
      osfaas checksum list demo -t md5 > MD5SUMS
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.listing import ListQuery, count_of, digests_of, md5sum_line, read_names  # noqa: PLC0415

    if names is not None and naming["prefix"]:
        raise click.UsageError("--names and --prefix cannot be combined.")
    query = ListQuery(**naming, names=None if names is None else done(lambda: read_names(names)))
    retry = RetryPolicy(retry_seconds)
    printed: set[str] = set()  # after a second login, the list starts over
    failed: set[str] = set()
    hidden = sys.stdout.isatty() or not sys.stderr.isatty()

    def print_all(login: "Login") -> None:
        length = count_of(login, query, retry)
        lines = (line for line in digests_of(login, query, retry) if line["object"] not in printed)
        with click.progressbar(lines, length=length, show_pos=True, hidden=hidden, file=sys.stderr) as bar:
            for line in bar:
                printed.add(line["object"])
                error = line.get("error")
                if form == "json":
                    click.echo(json.dumps(line))
                elif error is None:
                    click.echo(md5sum_line(next(iter(line["digests"].values())), line["object"]))
                if error is not None:
                    failed.add(line["object"])
                    click.echo(f"osfaas: {query.container}/{line['object']}: {error['message']}", err=True)

    done(lambda: with_login(endpoint, print_all))
    click.echo(f"osfaas: {len(printed)} objects, {len(failed)} failed", err=True)
    if query.prefix and not printed:
        click.echo(f"osfaas: no object in the container '{query.container}' has the prefix '{query.prefix}'", err=True)
    if failed or (query.prefix and not printed):
        sys.exit(1)


checksum.add_command(sweep)


@checksum.command()
@click.argument("container")
@click.argument("sums", type=click.File(encoding="utf-8"))
@click.option("--prefix", default="", metavar="PREFIX", help="Only objects whose names begin with PREFIX.")
@click.option(
    "-t", "--type", "--algorithm", "algorithm", metavar="TYPE", help="Algorithm. Default: by the length of the digests."
)
@click.option("--one-way", is_flag=True, help="Ignore objects that are not in SUMS.")
@click.option("-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or the gateway's URL.")
@click.option("--retry-seconds", default=DEFAULT_RETRY_SECONDS, show_default=True, help=_RETRY)
def verify(
    container: str,
    sums: TextIO,
    *,
    prefix: str,
    algorithm: str | None,
    one_way: bool,
    endpoint: str | None,
    retry_seconds: float,
) -> None:
    """Compare a container with a file of checksums (-: stdin).

    A line for each object, as rclone prints it: '=' same, '*' different, '+' only in SUMS, '-' only in the container,
    '!' unknown. Exit codes: 0 all are the same, 1 some are not, 2 wrong usage.

    \b
    Examples:
      osfaas checksum verify demo MD5SUMS
      osfaas checksum verify demo --prefix raw/ --one-way MD5SUMS
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.listing import ListQuery, digests_of, escaped  # noqa: PLC0415
    from client.verify import EXTRA, SAME, algorithm_of, compared, read_sums  # noqa: PLC0415

    expected = done(lambda: read_sums(sums))
    query = ListQuery(container, prefix, algorithm or done(lambda: algorithm_of(expected)), store=False)
    counted: dict[str, int] = {}
    printed: set[str] = set()  # after a second login, the list starts over

    def print_all(login: "Login") -> None:
        lines = digests_of(login, query, RetryPolicy(retry_seconds))
        for mark, name, why in compared(expected, lines, prefix=prefix):
            if name in printed or (one_way and mark == EXTRA):
                continue
            printed.add(name)
            counted[mark] = counted.get(mark, 0) + 1
            click.echo(f"{mark} {escaped(name)}")
            if why and mark not in {EXTRA, SAME}:
                click.echo(f"osfaas: {container}/{escaped(name)}: {why}", err=True)

    done(lambda: with_login(endpoint, print_all))
    same = counted.pop(SAME, 0)
    click.echo(f"osfaas: {same} same, {sum(counted.values())} not", err=True)
    if counted:
        sys.exit(1)


def _are_objects(words: tuple[str, ...]) -> bool:
    """Whether several words are objects: the name of an algorithm, which may come first, has no slash."""
    return len(words) > 1 and "/" in words[0]


def _get_many(endpoint: str | None, *, words: tuple[str, ...], **naming: Any) -> None:
    """Prints the checksums of several objects, each once and in their order; ends with 1 if one failed."""
    from client.access import with_login  # noqa: PLC0415
    from client.checksums import get_digest  # noqa: PLC0415
    from client.errors import TokenRefusedError  # noqa: PLC0415
    from client.listing import md5sum_line  # noqa: PLC0415

    left = list(dict.fromkeys(words))
    failed = 0

    def print_left(login: "Login") -> None:
        nonlocal failed
        while left:
            try:
                click.echo(md5sum_line(get_digest(login, _query(words=(left[0],), **naming)), left[0]))
            except TokenRefusedError:
                # After a second login it goes on with this object.
                raise
            except CommandError as error:
                failed += 1
                click.echo(f"osfaas: {left[0]}: {error}", err=True)
            del left[0]

    done(lambda: with_login(endpoint, print_left))
    if failed:
        sys.exit(1)


def _query(
    *, words: tuple[str, ...], url: str | None, algorithm: str | None, bases: tuple[str, ...], retry_seconds: float
) -> "ChecksumQuery":
    from client.checksums import ChecksumQuery  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415

    where, name = _object_of(words, url, algorithm)
    return ChecksumQuery(where, name, bases, RetryPolicy(retry_seconds))


def _object_of(words: tuple[str, ...], url: str | None, algorithm: str | None) -> tuple[str, str]:
    """Object and algorithm, from either form of the arguments."""
    if url is not None and words:
        raise click.UsageError("Name the object once: -u URL, or PATH.")
    if url is None and not words:
        raise click.UsageError("Name an object: -u URL, or PATH.")
    if url is not None:
        return url, algorithm or DEFAULT_ALGORITHM
    if len(words) == 1:
        return words[0], algorithm or DEFAULT_ALGORITHM
    if algorithm is not None:
        raise click.UsageError("Name the algorithm once: -t TYPE, or TYPE before PATH.")
    return words[1], words[0]
