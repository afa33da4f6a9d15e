"""`osfaas usage`. It imports its modules when it runs, because help and completion load all commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from client.outcome import done, printable
from client.usage_fields import GROUP_FIELDS, GROUPS, SHOWN

if TYPE_CHECKING:
    from client.login import Login

_RETRY_SECONDS = 30.0


@click.command()
@click.option("--start", metavar="TIME", help="Date or time (ISO 8601, UTC). Default: the beginning of the month.")
@click.option("--end", metavar="TIME", help="Date or time (ISO 8601, UTC), excluded. Default: now.")
@click.option("--group-by", "groups", multiple=True, type=click.Choice(GROUPS), help="One sum for each; repeatable.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "cloudkitty", "gnocchi"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option("--limit", type=click.IntRange(1), metavar="ROWS", help="Maximum number of rows per request.")
@click.option("--project", metavar="ID", help="Of this project. For administrators, at their own endpoint.")
@click.option("-e", "--endpoint", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")
def usage(endpoint: str | None, form: str, groups: tuple[str, ...], **options: Any) -> None:
    """Show what your project has used.

    Administrators see all projects at the URL of the administrators' API (-e URL). The formats cloudkitty and gnocchi
    print one body of a request per line: of POST /v2/dataframes, and of POST /v1/batch/resources/metrics/measures.

    \b
    Examples:
      osfaas usage --group-by function
      osfaas usage --start 2026-11-01 --end 2026-12-01 --group-by day --format csv
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy  # noqa: PLC0415
    from client.usage import pages  # noqa: PLC0415

    parameters = {
        "project_id" if name == "project" else name: str(value) for name, value in options.items() if value is not None
    }
    parameters["format"] = "json" if form == "table" else form
    if groups:
        parameters["group_by"] = ",".join(groups)

    def work(login: "Login") -> list[bytes]:
        return list(pages(login, parameters, RetryPolicy(_RETRY_SECONDS)))

    _print(done(lambda: with_login(endpoint, work)), form)


def _print(found: list[bytes], form: str) -> None:
    if form == "csv":
        texts = [page.decode("utf-8") for page in found]
        # Each page has the line of names.
        click.echo("".join([texts[0], *(text.partition("\r\n")[2] for text in texts[1:])]), nl=False)
    elif form in {"cloudkitty", "gnocchi"}:
        for page in found:
            click.echo(page.decode("utf-8"))
    else:
        rows = [row for page in found for row in json.loads(page)["usage"]]
        click.echo(json.dumps(rows, indent=2) if form == "json" else _table(rows))


def _table(rows: Iterable[dict[str, Any]]) -> str:
    from client.output import aligned  # noqa: PLC0415

    rows = list(rows)
    groups = [name for name in (rows[0] if rows else ()) if name in {*GROUPS, *GROUP_FIELDS.values()}]
    names = [*groups, *SHOWN]
    cells = [[str(row[name]) for name in names] for row in rows]
    text = aligned([[name.upper().replace("_", " ") for name in names], *cells])
    return printable(text)
