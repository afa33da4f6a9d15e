"""`osfaas admin-api`."""

import sys

import click


@click.command("admin-api")
def admin_api() -> None:
    """Run the administrators' API, /v1/projects.

    It is a separate process, because it can write Tenant records. Settings and credential are as for `osfaas serve`.
    """
    from control.serve import serve as run  # noqa: PLC0415

    sys.exit(run())
