"""`osfaas admin-api`, `osfaas functions-api`, `osfaas scheduler` and `osfaas registry-tokens`."""

import os
import sys
from pathlib import Path

import click


@click.command("admin-api")
def admin_api() -> None:
    """Run the administrators' API, /v1/projects.

    It is a separate process, because it can write Tenant records. Settings and credential are as for `osfaas serve`.
    """
    from control.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@click.command("functions-api")
@click.option(
    "--platform",
    "platform_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Platform file, as for `osfaas controller`.",
)
def functions_api(platform_file: Path) -> None:
    """Run the functions API, /v1/functions.

    It is a separate process, because it can write Function objects. Settings and credential are as for `osfaas serve`.
    """
    from control.functions.serve import serve as run  # noqa: PLC0415

    sys.exit(run(platform_file))


@click.command("scheduler")
def scheduler() -> None:
    """Run the scheduler of triggers.

    It fires schedules and keeps the status of triggers. With several replicas, one leads. Settings and credential are
    as for `osfaas serve`; the credential needs a user and a password.
    """
    from control.scheduler.serve import serve as run  # noqa: PLC0415

    sys.exit(run())


@click.command("registry-tokens")
@click.option("--jwks", is_flag=True, help="Print the public key of OSFAAS_REGISTRY_TOKEN_KEY_FILE, and end.")
def registry_tokens(jwks: bool) -> None:
    """Run the token endpoint of the registry.

    Settings and credential are as for `osfaas serve`.
    """
    from control.registry.serve import public_keys  # noqa: PLC0415
    from control.registry.serve import serve as run  # noqa: PLC0415

    if not jwks:
        sys.exit(run())
    try:
        click.echo(public_keys(Path(os.environ.get("OSFAAS_REGISTRY_TOKEN_KEY_FILE", ""))), nl=False)
    except ValueError as error:
        click.echo(f"osfaas: {error}", err=True)
        sys.exit(2)
