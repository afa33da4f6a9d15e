"""`osfaas serve` and `osfaas settings`."""

import sys

import click


@click.command()
def serve() -> None:
    """Run the gateway.

    Settings come from OSFAAS_* variables (see `osfaas settings`), the credential from OS_* or clouds.yaml.
    """
    from gateway.server.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@click.command()
def settings() -> None:
    """Print all settings as a Markdown table."""
    from gateway.settings import settings_table  # noqa: PLC0415

    click.echo(settings_table())
