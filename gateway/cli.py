"""The command `osfaas`. Each subcommand imports what it needs when it runs, so that the small ones start quickly."""

import sys

import click

from client.commands import checksum
from tenancy.commands.controller import controller


@click.group()
@click.version_option(package_name="openstack-faas-gateway")
def main() -> None:
    """Multi-tenant functions for OpenStack projects."""


@main.command()
def serve() -> None:
    """Run the gateway. Settings come from OSFAAS_* variables, the credential from OS_* or clouds.yaml."""
    from gateway.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@main.command()
def settings() -> None:
    """Print every setting with its default and meaning, as a Markdown table."""
    from gateway.settings import settings_table  # noqa: PLC0415

    click.echo(settings_table())


main.add_command(checksum)
main.add_command(controller)


if __name__ == "__main__":
    main()
