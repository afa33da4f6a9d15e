"""`osfaas controller`."""

import logging
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option(
    "--platform",
    "platform_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("/etc/osfaas/platform.yaml"),
    show_default=True,
    envvar="OSFAAS_PLATFORM_FILE",
    help="Platform file: the operator's description of the cluster.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Kubeconfig file. Default: $KUBECONFIG, the pod's service account, or ~/.kube/config.",
)
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on, for /healthz and /metrics.")  # noqa: S104
@click.option("--port", type=click.IntRange(0, 65535), default=8790, show_default=True, help="TCP port to listen on.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Number of tenants reconciled concurrently.",
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(1),
    default=60,
    show_default=True,
    help="Keystone polling interval in seconds.",
)
@click.option(
    "--limits-seconds",
    type=click.FloatRange(0, 60),
    default=20,
    show_default=True,
    help="Interval in seconds at which Keystone's limits are read. 0: they are not used.",
)
@click.option(
    "--service-type",
    default="function",
    show_default=True,
    help="Service type in Keystone's catalog, to which the limits belong.",
)
@click.option(
    "--resync-seconds",
    type=click.FloatRange(1),
    default=300,
    show_default=True,
    help="Interval in seconds at which all tenants are enqueued, in addition to watches. A tenant whose watched "
    "objects are unchanged is not read again.",
)
@click.option(
    "--lease-seconds",
    type=click.FloatRange(3),
    default=15,
    show_default=True,
    help="Lifetime of the leader's Lease in seconds.",
)
@click.option(
    "--selector",
    metavar="KEY=VALUE[,…]",
    default="",
    help="Labels of the Tenants to manage, when several controllers share a cluster. Default: all.",
)
@click.option(
    "--registry-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file with the private key of Ed25519 that signs credentials for the registry. Read if the platform file "
    "has builds.",
)
def controller(platform_file: Path, kubeconfig: Path | None, lease_seconds: float, **options: Any) -> None:
    """Run the controller of Tenant records.

    It applies the records to the cluster. Its OpenStack credential (OS_* variables, or clouds.yaml with OS_CLOUD) needs
    a role that may list projects. With several replicas, one leads. Exit codes: 0 ended by a signal, 1 lost the
    leadership, 2 cannot start.
    """
    from tenancy.controller.controller import ControllerSettings, run_controller
    from tenancy.controller.leadership import Terms
    from tenancy.model.errors import TenancyError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = ControllerSettings(
        platform_file=platform_file,
        kubeconfig=kubeconfig,
        listen_host=options["host"],
        listen_port=options["port"],
        workers=options["workers"],
        poll_seconds=options["poll_seconds"],
        limits_seconds=options["limits_seconds"],
        service_type=options["service_type"],
        resync_seconds=options["resync_seconds"],
        selector=_labels(options["selector"]),
        registry_key_file=options["registry_key_file"],
        terms=Terms(lease=lease_seconds, deadline=lease_seconds * 2 / 3, retry=lease_seconds / 8),
    )
    try:
        code = run_controller(settings)
    except TenancyError as error:
        click.echo(f"osfaas controller: {error}", err=True)
        code = 2
    sys.exit(code)


def _labels(selector: str) -> dict[str, str]:
    pairs = [pair.split("=", 1) for pair in selector.split(",") if pair]
    if any(len(pair) != 2 for pair in pairs):  # noqa: PLR2004 - a key and a value
        raise click.BadParameter(f"{selector!r} is not KEY=VALUE[,KEY=VALUE…]", param_hint="--selector")
    return {key.strip(): value.strip() for key, value in pairs}
