"""`osfaas tenant verify`, one of the group in `tenancy.commands.tenant`."""

import signal
import sys
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click

from policies.model import IsolationLevel, Platform, TenantSpec
from tenancy import use_cases
from tenancy.commands.access import Access, project_argument, refusals_said
from tenancy.model.errors import NotOnboardedError

_PORTS = {"http": 80, "https": 443}
_EXIT_CODES = (
    "Exit codes: 0 every attack that the level covers was shown to fail, 1 one worked, or it could not be tried,"
    " 2 wrong usage, 3 none worked but not all could be shown to fail, 4 no such project or tenant, 5 no answer."
)


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT` or a URL, as a host and a port."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The two parts; a URL without a port has that of its scheme."""
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
@click.option("--against", metavar="PROJECT", help="The tenant that is attacked; default: the first other one.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in IsolationLevel]),
    help="The promise that is tested; default: the tenant's own level.",
)
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@click.option("--image", help="Image of the probe, with python3; default: that of the platform's first function.")
@click.option("--keystone", type=Address(), envvar="OS_AUTH_URL", help="What functions must not reach: a URL.")
@click.option(
    "--store", type=Address(), help="Where functions may connect; default: a destination that is one address."
)
@project_argument
@click.pass_obj
def verify(access: Access, /, project: str, domain: str | None, **options: Any) -> None:
    """Replay attacks from inside a tenant.

    Every attack is tried against another tenant and the platform.

    While it runs, each of the two tenants has one more pod and the first one a role binding; they are removed at its
    end. What is tried over the Kubernetes API is a dry run.
    """
    # A signal becomes an exception, so that the pods are removed.
    signal.signal(signal.SIGTERM, _end)
    # The official client takes half a second to load.
    from tenancy.isolation.replay import ReplayRequest, replay
    from tenancy.isolation.report import as_json, as_table
    from tenancy.isolation.verdict import exit_status
    from tenancy.kubernetes.client import load_configuration

    with refusals_said():
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
        raise click.UsageError("the platform file is needed: osfaas tenant --platform FILE verify …")
    return platform


def _victim(access: Access, attacker: TenantSpec, against: str | None, domain: str | None) -> TenantSpec:
    """The given tenant, or the first one that is not the attacker."""
    wanted = access.tenant_id(against, domain) if against else None
    for record in use_cases.list_tenants(access.tenants):
        if record.spec.project_id != attacker.project_id and wanted in {None, record.spec.project_id}:
            return record.spec
    raise NotOnboardedError("there is no other tenant to attack: name one that is not the attacker, or onboard one")


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
