"""`osfaas serve`, `osfaas settings` and `osfaas envoy-config`."""

import os
import sys
from pathlib import Path

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


@click.command("envoy-config")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Where callers connect: ADDRESS:PORT.")
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    help="ADDRESS:PORT of a gateway process; repeat it for each one. Default: that of the settings.",
)
@click.option("--certificate", type=click.Path(path_type=Path), help="PEM file of the certificate chain.")
@click.option("--key", type=click.Path(path_type=Path), help="PEM file of the certificate's key.")
@click.option("--admin", help="ADDRESS:PORT of Envoy's administration interface. Default: off.")
def envoy_config(
    listen: str, gateways: tuple[str, ...], certificate: Path | None, key: Path | None, admin: str | None
) -> None:
    """Print the configuration of an Envoy for gateways.

    Limits and times come from the OSFAAS_* variables of the gateway (see `osfaas settings`).
    """
    import yaml  # noqa: PLC0415

    from gateway.envoy.bootstrap import build_config  # noqa: PLC0415
    from gateway.envoy.options import Certificate, EnvoyOptions, address_of, gateway_address  # noqa: PLC0415
    from gateway.settings import settings_from  # noqa: PLC0415

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key belong together")
    try:
        known = settings_from(os.environ)
        options = EnvoyOptions(
            listen=address_of(listen),
            gateways=tuple(map(address_of, gateways)) or (gateway_address(known),),
            certificate=Certificate(certificate, key) if certificate and key else None,
            admin=address_of(admin) if admin else None,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(yaml.safe_dump(build_config(known, options), sort_keys=False), nl=False)
