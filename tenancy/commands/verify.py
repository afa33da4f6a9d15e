"""`osfaas tenant verify`, a command of the group in `tenancy.commands.tenant`."""

import signal
import sys
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click

from policies.model import IsolationLevel, Platform, TenantSpec
from tenancy import use_cases
from tenancy.commands.access import Access, project_argument, report_errors
from tenancy.model.errors import NotOnboardedError

_PORTS = {"http": 80, "https": 443}
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
        parts = urlsplit(value if "//" in value else f"//{value}")
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            self.fail(f"{value!r} has no port", param, ctx)
        if not parts.hostname:
            self.fail(f"{value!r} has no host", param, ctx)
        return parts.hostname, port


@click.command(epilog=_EXIT_CODES)
@click.option("--against", metavar="PROJECT", help="Tenant to attack. Default: the first other one.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in IsolationLevel]),
    help="Isolation level to test. Default: the tenant's own.",
)
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@click.option("--image", help="Image of the probe pods, with python3. Default: that of the platform's first function.")
@click.option(
    "--keystone",
    type=Address(),
    envvar="OS_AUTH_URL",
    help="Keystone, which functions must not reach: HOST:PORT or URL. Default: $OS_AUTH_URL.",
)
@click.option(
    "--store",
    type=Address(),
    help="Object store, which functions may reach: HOST:PORT or URL. Default: a destination with a single address.",
)
@project_argument
@click.pass_obj
def verify(access: Access, /, project: str, domain: str | None, **options: Any) -> None:
    """Replay attacks from inside a tenant.

    The attacks target another tenant and the platform.

    During the replay both tenants have an additional pod, and the first one an additional RoleBinding; they are removed
    at the end. Requests to the Kubernetes API are dry runs.
    """
    # A signal becomes an exception, so that the pods are removed.
    signal.signal(signal.SIGTERM, _end)
    # The official client takes half a second to load.
    from tenancy.isolation.replay import ReplayRequest, replay
    from tenancy.isolation.report import as_json, as_table
    from tenancy.isolation.verdict import exit_status
    from tenancy.kubernetes.client import load_configuration

    with report_errors():
        platform = _platform(access)
        attacker = use_cases.get_tenant(access.tenants, access.tenant_id(project, domain)).spec
        victim = _victim(access, attacker, options["against"], domain)
        order = ReplayRequest(
            tenant=attacker,
            victim=victim,
            platform=platform,
            level=IsolationLevel(options["level"]) if options["level"] else attacker.isolation,
            image=options["image"] or next(iter(platform.functions.values())).image,
            keystone=options["keystone"],
            store=options["store"],
        )
        findings = replay(load_configuration(access.kubeconfig, context=access.context), order)
    show = as_table if options["form"] == "table" else as_json
    click.echo(show(findings, attacker.namespace, victim.namespace, order.level))
    sys.exit(exit_status(findings))


def _platform(access: Access) -> Platform:
    platform = access.platform
    if platform is None:
        raise click.UsageError("A platform file is required: osfaas tenant --platform FILE verify …")
    return platform


def _victim(access: Access, attacker: TenantSpec, against: str | None, domain: str | None) -> TenantSpec:
    """The given tenant, or the first one that is not the attacker."""
    wanted = access.tenant_id(against, domain) if against else None
    for record in use_cases.list_tenants(access.tenants):
        if record.spec.project_id != attacker.project_id and wanted in {None, record.spec.project_id}:
            return record.spec
    raise NotOnboardedError("there is no other tenant to attack: onboard a second one, or name one with --against")


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
