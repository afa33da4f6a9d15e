"""`osfaas events …`. The server is imported only when `forward` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group()
def events() -> None:
    """Forward object events to the gateway."""


@events.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="TCP port to listen on.")
@click.option("--algorithm", default="", help="Comma-separated algorithms. Default: those of the gateway.")
@click.option("--no-checksums", is_flag=True, help="Let events fire triggers of functions only; store no digests.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Secret that senders must send: as Authorization: Bearer (MinIO's auth_token), or as the path of the URL.",
)
@click.option("-e", "--endpoint", metavar="URL", help="URL of the gateway. Default: from the catalog.")
def forward(host: str, port: int, secret_file: Path | None, endpoint: str | None, **digests: Any) -> None:
    """Receive events and forward them with a token.

    The token comes from the credential in OS_* variables, or in clouds.yaml with OS_CLOUD.
    """
    from client.errors import CommandError  # noqa: PLC0415

    try:
        from client.forwarding import serve  # noqa: PLC0415
    except ImportError as error:
        raise click.ClickException(f"{error}. Install osfaas-client[events].") from error
    secret = secret_file.read_text(encoding="utf-8").strip() if secret_file else None
    if secret == "":
        raise click.BadParameter(f"{secret_file} is empty.", param_hint="--secret-file")
    algorithm = digests["algorithm"]
    if algorithm and digests["no_checksums"]:
        raise click.UsageError("--algorithm and --no-checksums cannot be combined.")
    query = "?checksums=false" if digests["no_checksums"] else f"?algorithm={algorithm}" if algorithm else ""
    try:
        serve(host, port, query=query, secret=secret, endpoint=endpoint)
    except CommandError as error:
        raise click.ClickException(str(error)) from error
