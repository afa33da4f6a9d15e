"""`osfaas info`. It imports its modules when it runs, because help and completion load all commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from client.outcome import done, printable
from client.output import output_options, render_one

if TYPE_CHECKING:
    from client.login import Login

_RETRY_SECONDS = 30.0
_MAX_BYTES = 65_536


@click.command()
@output_options
@click.option("-e", "--endpoint", "--os-cloud", metavar="NAME|URL", help="Cloud in clouds.yaml, or URL of the gateway.")
def info(endpoint: str | None, form: str) -> None:
    """Show what the service offers.

    Algorithms of checksums, optional parts, and limits of one request.

    \b
    Examples:
      osfaas info
      osfaas info -f value -c features.sweeps
    """  # noqa: D301 - click needs the character, which keeps the lines of the examples
    from client.access import with_login  # noqa: PLC0415
    from client.exchange import RetryPolicy, fetch  # noqa: PLC0415

    def work(login: "Login") -> bytes:
        return fetch(login, f"{login.gateway}/v1/info", most=_MAX_BYTES, retry=RetryPolicy(_RETRY_SECONDS))

    document: dict[str, Any] = json.loads(done(lambda: with_login(endpoint, work)))
    click.echo(printable(render_one(form, document, flat(document))))


def flat(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values for people: `features.sweeps` is the member `sweeps` of `features`."""
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", of) for inner, of in flat(value)]
        elif isinstance(value, list):
            rows.append((name, ", ".join(map(str, value))))
        else:
            rows.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    return rows
