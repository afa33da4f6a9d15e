"""`osfaas platform …`. The actions are in `tenancy.platform.actions`, imported on demand."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tenancy.commands.access import REFUSED, report_errors

F = TypeVar("F", bound=Callable[..., None])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def platform() -> None:
    """Install, check and verify the platform."""


def _where(function: F) -> F:
    for option in (
        click.option("--context", help="Context of the kubeconfig. Default: its current one."),
        click.option(
            "--kubeconfig",
            type=_FILE,
            help="Kubeconfig file. Default: $KUBECONFIG, the pod's service account, or ~/.kube/config.",
        ),
    ):
        function = option(function)
    return function


def _platform_file(function: F) -> F:
    return click.option(
        "--platform",
        "platform_file",
        type=_FILE,
        required=True,
        envvar="OSFAAS_PLATFORM_FILE",
        help="Platform file.",
    )(function)


@platform.command()
@_where
@click.option(
    "--overlay",
    type=_FOLDER,
    help="Folder of your kustomization; example: manifests/overlays/example. Default: gateway and controller are not "
    "changed, as where the Helm chart installs them; needs --platform.",
)
@click.option("--platform", "platform_file", type=_FILE, help="Platform file. Default: the one in the overlay.")
@click.option("--istio-charts", help="Istio's charts: a folder, https://… or oci://…. Default: Istio is not changed.")
@click.option("--istio-version", help="Version of the charts. Default: the latest.")
@click.option("--istiod-values", type=_FILE, help="Helm values of istiod, merged over those of --settings.")
@click.option(
    "--ingress-values", type=_FILE, help="Helm values of the ingress gateway, merged over those of --settings."
)
@click.option(
    "--cni-values",
    type=_FILE,
    help="Helm values of istio-cni, merged over those of --settings; with `sidecars: true` in the platform file only.",
)
@click.option(
    "--knative-manifests",
    multiple=True,
    help="Manifests of Knative and net-istio: a file, a folder or a URL. May be repeated. Default: Knative is not "
    "changed.",
)
@click.option(
    "--settings",
    type=_FOLDER,
    default=Path("manifests/platform"),
    show_default=True,
    help="Folder with the required settings of Istio and Knative.",
)
@click.option(
    "--wait-seconds", type=click.FloatRange(1), default=300, show_default=True, help="Timeout in seconds for each part."
)
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--kubectl", default="kubectl", show_default=True, help="Path of kubectl, for `kubectl kustomize`.")
@click.option("--helm", default="helm", show_default=True, help="Path of helm.")
def install(overlay: Path | None, platform_file: Path | None, **options: Any) -> None:
    """Install or upgrade the platform.

    The platform consists of Istio, Knative, policies, gateway and controller. Idempotent. Exit codes: 0 done, 1 refused
    or not ready in time, 2 wrong usage, 5 no response.
    """
    from tenancy.platform import actions

    if not overlay and not platform_file:
        raise click.UsageError("Give --overlay, --platform, or both.")
    with report_errors():
        actions.install(overlay, platform_file, options, click.echo)


@platform.command()
@_where
@_platform_file
@click.option("--probe", is_flag=True, help="Test with two pods whether NetworkPolicies are enforced.")
@click.option("--probe-image", help="Image with python3. Default: the image of the running gateway.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
def check(platform_file: Path, probe: bool, probe_image: str | None, output: str, **where: Any) -> None:
    """Report what is missing or unsafe on the cluster.

    Exit codes: 0 no findings but advice, 1 something is missing or unsafe, 2 wrong usage, 5 no response.
    """
    from tenancy.platform import actions

    with report_errors():
        report = actions.check(platform_file, probe=probe, probe_image=probe_image, **where)
    click.echo(report.as_json() if output == "json" else report.as_text())
    if not report.good:
        sys.exit(REFUSED)


@platform.command()
@_where
@_platform_file
@click.option("--function", default="checksums", show_default=True, help="Function of the catalogue to call.")
@click.option("--probe-image", help="Image with python3. Default: the image of the running gateway.")
@click.option(
    "--wait-seconds", type=click.FloatRange(1), default=120, show_default=True, help="Timeout in seconds for each step."
)
def verify(platform_file: Path, function: str, probe_image: str | None, wait_seconds: float, **where: Any) -> None:
    """Verify that a function of a temporary tenant responds.

    The tenant is removed afterwards.

    Exit codes: 0 it responds, 1 it does not, 2 wrong usage, 5 no response from Kubernetes.
    """
    from tenancy.platform import actions

    with report_errors():
        actions.verify(platform_file, click.echo, function=function, image=probe_image, seconds=wait_seconds, **where)
        click.echo("the platform works")
