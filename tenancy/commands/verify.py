"""`osfaas tenant verify`, a command of the group in `tenancy.commands.tenant`."""

import sys
from typing import Any

import click

from policies.model import IsolationLevel
from tenancy.commands import replaying
from tenancy.commands.access import Access, project_argument, report_errors
from tenancy.commands.replaying import VerifyRequest, address_of, replayed

_EXIT_CODES = (
    "Exit codes: 0 every attack that the level covers was proved to fail, 1 an attack succeeded or the replay was"
    " refused, 2 wrong usage, 3 no attack succeeded but not all were proved to fail, 4 no such project or tenant,"
    " 5 no response."
)


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT` or a URL, parsed into host and port."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Returns host and port; a URL without a port has its scheme's default."""
        if isinstance(value, tuple):
            return value
        try:
            return address_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(epilog=_EXIT_CODES)
@click.option("--against", metavar="PROJECT", help=replaying.AGAINST)
@click.option("--level", type=click.Choice([level.value for level in IsolationLevel]), help=replaying.LEVEL)
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@click.option("--image", help=replaying.IMAGE)
@click.option("--keystone", type=Address(), envvar="OS_AUTH_URL", help=f"{replaying.KEYSTONE} Default: $OS_AUTH_URL.")
@click.option("--store", type=Address(), help=replaying.STORE)
@project_argument
@click.pass_obj
def verify(access: Access, /, project: str, domain: str | None, **options: Any) -> None:
    """Replay attacks from inside a tenant.

    The attacks target another tenant and the platform.

    During the replay both tenants have an additional pod, and the first one an additional RoleBinding; they are removed
    at the end. Requests to the Kubernetes API are dry runs.
    """
    from tenancy.isolation.report import as_json, as_table
    from tenancy.isolation.verdict import exit_status

    form, level = options.pop("form"), options.pop("level")
    with report_errors():
        platform = access.platform
        if platform is None:
            raise click.UsageError("A platform file is required: osfaas tenant --platform FILE verify …")
        wanted = VerifyRequest(
            project=project, domain=domain, level=IsolationLevel(level) if level else None, **options
        )
        found = replayed(access, platform, wanted)
    show = as_table if form == "table" else as_json
    click.echo(show(found.findings, found.tenant, found.victim, found.level))
    sys.exit(exit_status(found.findings))
