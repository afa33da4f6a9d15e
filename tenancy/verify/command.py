"""`osfaas tenant verify`: attached to the group of the other tenant commands."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import click

from policies.model import IsolationLevel, TenantSpec
from policies.names import ProjectId, namespace_of
from tenancy.errors import NotOnboardedError, TenancyError
from tenancy.platform_file import read_platform

_PORTS = {"http": 80, "https": 443}
_LEVELS = click.Choice([level.value for level in IsolationLevel])


@click.command()
@click.argument("tenant")
@click.option("--against", metavar="OTHER", help="The tenant that is attacked; default: the first other one.")
@click.option("--level", type=_LEVELS, help="The promise that is tested; default: the tenant's own level.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--platform", "platform_file", type=click.Path(path_type=Path), envvar="OSFAAS_PLATFORM_FILE", required=True
)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Default: $KUBECONFIG, or the cluster around us.")
@click.option("--image", help="Image of the probe, with python3; default: that of the first function of the platform.")
@click.option("--keystone", metavar="URL", envvar="OS_AUTH_URL", help="Identity service that functions must not reach.")
@click.option("--store", metavar="HOST:PORT", help="Object store, as an address; default: a destination that is one.")
def verify(  # noqa: PLR0917 - as many as click has options
    tenant: str,
    against: str | None,
    level: str | None,
    output: str,
    platform_file: Path,
    kubeconfig: Path | None,
    image: str | None,
    keystone: str | None,
    store: str | None,
) -> None:
    """Replay every attack from inside TENANT (its project id or namespace) against another tenant and the platform.

    Two pods, in the namespaces of both tenants, and a role binding exist while it runs, and are removed at its end.
    What is tried over the Kubernetes API is a dry run.

    Exit status: 0, every attack that the level covers was shown to fail; 1, one worked; 2, wrong usage, or it could not
    be tried; 3, none worked, but not everything could be shown.
    """
    # Ending by a signal is an exception too, so that the probe is removed.
    signal.signal(signal.SIGTERM, _end)
    from kubernetes.client import ApiClient  # noqa: PLC0415

    from tenancy.cluster import Cluster, load_configuration  # noqa: PLC0415
    from tenancy.tenants import ClusterTenants  # noqa: PLC0415
    from tenancy.verify.replay import Order, replay  # noqa: PLC0415 - the client takes half a second to load
    from tenancy.verify.report import as_json, as_table  # noqa: PLC0415
    from tenancy.verify.verdict import exit_status  # noqa: PLC0415

    try:
        platform = read_platform(platform_file)
        configuration = load_configuration(kubeconfig)
        records = ClusterTenants(Cluster(ApiClient(configuration))).list()
        attacker, victim = _pick([record.spec for record in records], tenant, against)
        order = Order(
            tenant=attacker,
            victim=victim,
            platform=platform,
            level=IsolationLevel(level) if level else attacker.isolation,
            image=image or next(iter(platform.functions.values())).image,
            keystone=_host_and_port(keystone) if keystone else None,
            store=_host_and_port(f"//{store}") if store else None,
        )
        findings = replay(configuration, order)
    except TenancyError as error:
        _give_up(str(error))
    show = as_table if output == "table" else as_json
    click.echo(show(findings, attacker.namespace, victim.namespace, order.level))
    sys.exit(exit_status(findings))


def _pick(tenants: Sequence[TenantSpec], name: str, against: str | None) -> tuple[TenantSpec, TenantSpec]:
    """The attacker and the victim, which are never the same."""
    attacker = _named(tenants, name)
    others = [each for each in tenants if each.namespace != attacker.namespace]
    if against:
        return attacker, _named(others, against)
    if not others:
        raise NotOnboardedError("there is no other tenant to attack; onboard a second one")
    return attacker, others[0]


def _named(tenants: Sequence[TenantSpec], name: str) -> TenantSpec:
    wanted = {name, namespace_of(ProjectId(name))}
    found = [each for each in tenants if each.namespace in wanted]
    if not found:
        raise NotOnboardedError(f"there is no tenant {name}, or it is the attacker itself")
    return found[0]


def _host_and_port(url: str) -> tuple[str, int]:
    """Of a URL, or of `//HOST:PORT`."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if not parts.hostname or port is None:
        _give_up(f"{url} has no host and port")
    return parts.hostname, port


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(2)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
