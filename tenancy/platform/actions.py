"""The actions of `osfaas platform …`: install, check, verify."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.model import Manifest, Platform
from tenancy.kubernetes.client import Cluster, connect
from tenancy.platform.checks.runner import run_checks
from tenancy.platform.cluster_facts import Enforcement, Finding, Severity
from tenancy.platform.collect import collect_facts
from tenancy.platform.errors import PlatformError
from tenancy.platform.helm import Charts, Helm
from tenancy.platform.install import (
    Istio,
    install_istio,
    install_knative,
    install_policies,
    install_product,
    overlay_problems,
    platform_in,
)
from tenancy.platform.platform_file import read_platform
from tenancy.platform.probes import try_enforcement
from tenancy.platform.rollout import DEPLOYMENT, Rollout, Say
from tenancy.platform.sources import merge_values, read_manifests, read_values, render
from tenancy.platform.verify import verify_platform


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of a check."""

    findings: tuple[Finding, ...]
    enforcement: Enforcement

    @property
    def good(self) -> bool:
        """Whether nothing is missing or unsafe."""
        return all(finding.severity is Severity.ADVICE for finding in self.findings)

    def as_json(self) -> str:
        """A list of findings."""
        plain = [
            {"severity": each.severity.value, "code": each.code, "message": each.message, "remedy": each.remedy}
            for each in self.findings
        ]
        return json.dumps(plain, indent=2)

    def as_text(self) -> str:
        """A paragraph for each finding."""
        lines = [f"NetworkPolicies: {self.enforcement.value}"]
        for finding in self.findings:
            lines += [
                f"{finding.severity.value.upper():8}{finding.code}",
                f"        {finding.message}",
                f"        → {finding.remedy}",
            ]
        counts = {severity: sum(each.severity is severity for each in self.findings) for severity in Severity}
        lines.append(", ".join(f"{count} {severity.value}" for severity, count in counts.items()))
        return "\n".join(lines)


def install(overlay: Path | None, platform_file: Path | None, options: Mapping[str, Any], say: Say) -> None:
    """Installs everything; idempotent.

    Args:
        overlay: the operator's kustomization. None: all but the product itself, which the Helm chart installs.
        platform_file: None: the one in the overlay.
        options: of the command, by name.
        say: called with each line of the report.

    Raises:
        PlatformError, ClusterError: an object is refused, or not ready in time.
    """
    manifests = render(options["kubectl"], overlay) if overlay else []
    described = read_platform(platform_file) if platform_file else platform_in(manifests)
    if overlay and (problems := overlay_problems(manifests, described)):
        raise PlatformError("; ".join(problems))
    cluster = connect(options["kubeconfig"], context=options["context"])
    rollout = Rollout(cluster, say, options["wait_seconds"], options["dry_run"])
    _install_others(rollout, described, options)
    install_policies(rollout, described)
    if overlay:
        install_product(rollout, manifests, described)


def check(
    platform_file: Path, *, probe: bool, probe_image: str | None, kubeconfig: Path | None, context: str | None
) -> Report:
    """Checks the cluster for missing or unsafe parts.

    Raises:
        PlatformError, ClusterError: the check could not be completed.
    """
    described = read_platform(platform_file)
    cluster = connect(kubeconfig, context=context)
    enforcement = Enforcement.NOT_TRIED
    if probe:
        enforcement = try_enforcement(cluster, probe_image or _own_image(cluster, described))
    facts = collect_facts(cluster, described, enforcement)
    return Report(run_checks(facts, described), facts.enforcement)


def verify(
    platform_file: Path,
    say: Say,
    *,
    function: str,
    image: str | None,
    seconds: float,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Verifies that the function of a scratch tenant responds.

    Raises:
        PlatformError, ClusterError: it does not respond.
    """
    described = read_platform(platform_file)
    cluster = connect(kubeconfig, context=context)
    probe_image = image or _own_image(cluster, described)
    verify_platform(Rollout(cluster, say, seconds), described, function=function, image=probe_image)


def _install_others(rollout: Rollout, described: Platform, options: Mapping[str, Any]) -> None:
    settings: Path = options["settings"]
    if options["istio_charts"]:
        istio = _istio(described, options)
        helm = Helm(options["helm"], options["kubeconfig"], options["context"])
        install_istio(rollout, helm, istio, described.istio_namespace)
    if options["knative_manifests"]:
        manifests: list[Manifest] = [item for source in options["knative_manifests"] for item in read_manifests(source)]
        install_knative(rollout, manifests, render(options["kubectl"], settings), described)


def _istio(described: Platform, options: Mapping[str, Any]) -> Istio:
    """Our settings and over them the operator's values, for each chart."""

    def values(option: str, *names: str) -> dict[str, Any]:
        files = [options["settings"] / "istio" / f"{name}.yaml" for name in names]
        own: Path | None = options[f"{option}_values"]
        result: dict[str, Any] = {}
        for file in (*files, *((own,) if own else ())):
            result = merge_values(result, read_values(file))
        return result

    return Istio(
        Charts(options["istio_charts"], options["istio_version"]),
        istiod=values("istiod", "istiod", *(("sidecars",) if described.sidecars else ())),
        ingress=values("ingress", "gateway"),
        cni=values("cni", "cni") if described.sidecars else None,
    )


def _own_image(cluster: Cluster, described: Platform) -> str:
    """The image of the running gateway: it is available on the cluster and contains Python."""
    for item in cluster.list(DEPLOYMENT, namespace=described.system_namespace).items:
        template = item["spec"]["template"]
        if described.gateway_labels.items() <= template["metadata"].get("labels", {}).items():
            return str(template["spec"]["containers"][0]["image"])
    raise PlatformError(f"no gateway runs in {described.system_namespace}: give an image with --probe-image")
