"""`osfaas platform …`."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from policies.model import Manifest, Platform
from tenancy.cluster import Cluster, connect
from tenancy.commands.access import REFUSED, refusals_said
from tenancy.platform.collect import collect_facts
from tenancy.platform.errors import PlatformError
from tenancy.platform.facts import Enforcement, Finding, Severity
from tenancy.platform.helm import Charts, Helm
from tenancy.platform.install import (
    Istio,
    install_istio,
    install_knative,
    install_ourselves,
    install_policies,
    overlay_problems,
    platform_in,
)
from tenancy.platform.judge import judge
from tenancy.platform.probes import try_enforcement
from tenancy.platform.rollout import DEPLOYMENT, Rollout
from tenancy.platform.sources import laid_over, read_manifests, read_values, render
from tenancy.platform.verify import verify_platform
from tenancy.platform_file import read_platform

F = TypeVar("F", bound=Callable[..., None])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def platform() -> None:
    """The cluster under the tenants: install it, check it, see it work."""


def _where(function: F) -> F:
    for option in (
        click.option("--context", help="Of the kubeconfig. Default: its current one."),
        click.option("--kubeconfig", type=_FILE, help="Default: $KUBECONFIG, ~/.kube/config, or our own cluster."),
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
        help="The platform file.",
    )(function)


@platform.command()
@_where
@click.option("--overlay", type=_FOLDER, required=True, help="Your kustomization, like manifests/overlays/example.")
@click.option("--platform", "platform_file", type=_FILE, help="The platform file. Default: the one in the overlay.")
@click.option("--istio-charts", help="Folder, https://… or oci://… of Istio's charts. Without it Istio stays as it is.")
@click.option("--istio-version", help="Version of the charts. Default: the newest.")
@click.option("--istiod-values", type=_FILE, help="Helm values over those of --settings.")
@click.option("--ingress-values", type=_FILE, help="The same for the ingress gateway.")
@click.option(
    "--knative-manifests",
    multiple=True,
    help="File, folder or URL of Knative's manifests, net-istio's among them. Without one Knative stays as it is.",
)
@click.option("--settings", type=_FOLDER, default=Path("manifests/platform"), show_default=True, help="Our settings.")
@click.option("--wait-seconds", type=click.FloatRange(1), default=300, show_default=True, help="For each part.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would change.")
@click.option("--kubectl", default="kubectl", show_default=True, help="The program, for `kubectl kustomize`.")
@click.option("--helm", default="helm", show_default=True, help="The program.")
def install(overlay: Path, platform_file: Path | None, **options: Any) -> None:
    """Install Istio, Knative, policies, gateway and controller; or bring what is there to what is wanted.

    Each step may be repeated. Exit codes: 0 done, 1 refused or not ready in time, 2 wrong usage, 5 no answer.
    """
    with refusals_said():
        manifests = render(options["kubectl"], overlay)
        described = read_platform(platform_file) if platform_file else platform_in(manifests)
        if problems := overlay_problems(manifests, described):
            raise PlatformError("; ".join(problems))
        cluster = connect(options["kubeconfig"], context=options["context"])
        rollout = Rollout(cluster, click.echo, options["wait_seconds"], options["dry_run"])
        _install_others(rollout, described, options)
        install_policies(rollout, described)
        install_ourselves(rollout, manifests, described)


def _install_others(rollout: Rollout, described: Platform, options: dict[str, Any]) -> None:
    settings: Path = options["settings"]
    if options["istio_charts"]:
        values = (
            laid_over(
                read_values(settings / "istio" / f"{name}.yaml"),
                read_values(options[f"{option}_values"]) if options[f"{option}_values"] else {},
            )
            for name, option in (("istiod", "istiod"), ("gateway", "ingress"))
        )
        istio = Istio(Charts(options["istio_charts"], options["istio_version"]), *values)
        helm = Helm(options["helm"], options["kubeconfig"], options["context"])
        install_istio(rollout, helm, istio, described.istio_namespace)
    if options["knative_manifests"]:
        manifests: list[Manifest] = [item for source in options["knative_manifests"] for item in read_manifests(source)]
        install_knative(rollout, manifests, render(options["kubectl"], settings), described)


@platform.command()
@_where
@_platform_file
@click.option("--probe", is_flag=True, help="Prove with two pods that NetworkPolicies are enforced.")
@click.option("--probe-image", help="Image with python3. Default: the image of the running gateway.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(platform_file: Path, probe: bool, probe_image: str | None, output: str, **where: Any) -> None:
    """Say what is missing or unsafe on the cluster.

    Exit codes: 0 nothing but advice, 1 something is missing or unsafe, 2 wrong usage, 5 no answer.
    """
    with refusals_said():
        described = read_platform(platform_file)
        cluster = connect(where["kubeconfig"], context=where["context"])
        enforcement = Enforcement.NOT_TRIED
        if probe:
            enforcement = try_enforcement(cluster, probe_image or _own_image(cluster, described))
        facts = collect_facts(cluster, described, enforcement)
    findings = judge(facts, described)
    click.echo(as_json(findings) if output == "json" else as_text(findings, facts.enforcement))
    if any(finding.severity is not Severity.ADVICE for finding in findings):
        sys.exit(REFUSED)


@platform.command()
@_where
@_platform_file
@click.option("--function", default="checksums", show_default=True, help="Of the catalogue.")
@click.option("--probe-image", help="Image with python3. Default: the image of the running gateway.")
@click.option("--wait-seconds", type=click.FloatRange(1), default=120, show_default=True, help="For each step.")
def verify(platform_file: Path, function: str, probe_image: str | None, wait_seconds: float, **where: Any) -> None:
    """See everything available and a scratch tenant's function answer; what is made for it goes away.

    Exit codes: 0 it works, 1 it does not, 2 wrong usage, 5 no answer.
    """
    with refusals_said():
        described = read_platform(platform_file)
        cluster = connect(where["kubeconfig"], context=where["context"])
        image = probe_image or _own_image(cluster, described)
        verify_platform(Rollout(cluster, click.echo, wait_seconds), described, function=function, image=image)
        click.echo("the platform works")


def _own_image(cluster: Cluster, described: Platform) -> str:
    """The gateway's own image is on the cluster, and has a Python."""
    for item in cluster.list(DEPLOYMENT, namespace=described.system_namespace).items:
        template = item["spec"]["template"]
        if described.gateway_labels.items() <= template["metadata"].get("labels", {}).items():
            return str(template["spec"]["containers"][0]["image"])
    raise PlatformError(f"no gateway runs in {described.system_namespace}: name an image by --probe-image")


def as_json(findings: tuple[Finding, ...]) -> str:
    """A list of findings."""
    return json.dumps([asdict(finding) | {"severity": finding.severity.value} for finding in findings], indent=2)


def as_text(findings: tuple[Finding, ...], enforcement: Enforcement) -> str:
    """A paragraph for each finding."""
    lines = [f"NetworkPolicies: {enforcement.value}"]
    for finding in findings:
        lines += [
            f"{finding.severity.value.upper():8}{finding.code}",
            f"        {finding.what}",
            f"        → {finding.remedy}",
        ]
    counts = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    lines.append(", ".join(f"{count} {severity.value}" for severity, count in counts.items()))
    return "\n".join(lines)
