"""Installs the platform on a cluster: Istio, Knative Serving with our settings, our kinds, policies and Deployments.

Every step is idempotent. The order matters twice: Istio's kinds come before Knative's Gateways, and our policies come
before our own Deployments, so that nothing is unprotected in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from policies.model import Manifest, Platform
from policies.platform import platform_manifests
from tenancy.model.errors import PlatformFileError
from tenancy.platform.errors import PlatformError
from tenancy.platform.helm import Charts, Helm
from tenancy.platform.platform_file import platform_of
from tenancy.platform.rollout import Rollout
from tenancy.platform.sidecars import knative_settings, with_sidecars
from tenancy.platform.sources import apply_phases, combined, queue_proxy_settings, with_settings

INGRESS = "istio-ingressgateway"
PLATFORM_CONFIG = "osfaas-platform"


@dataclass(frozen=True, slots=True)
class Istio:
    """The sources of the Istio installation.

    Attributes:
        istiod, ingress: Helm values of the two charts.
        cni: Helm values of the chart `cni`; None: it is not installed.
    """

    charts: Charts
    istiod: Mapping[str, Any] = field(default_factory=dict)
    ingress: Mapping[str, Any] = field(default_factory=dict)
    cni: Mapping[str, Any] | None = None


def install_istio(rollout: Rollout, helm: Helm, istio: Istio, namespace: str) -> None:
    """Installs the kinds, the CNI plugin, the control plane, then the ingress gateway.

    The control plane comes before the gateway, whose pods it injects, and after the plugin: a pod that gets a sidecar
    without it does not start.

    Raises:
        PlatformError: helm fails, or a release does not become ready in time; says why.
    """
    releases: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
        ("istio-base", "base", {}),
        *((("istio-cni", "cni", istio.cni),) if istio.cni is not None else ()),
        ("istiod", "istiod", istio.istiod),
        (INGRESS, "gateway", istio.ingress),
    )
    with rollout.step("Istio"):
        for release, chart, values in releases:
            words = istio.charts.words(chart)
            if rollout.dry_run:
                rollout.say(f"  would install {release} in {namespace} from {' '.join(words)}")
                continue
            helm.install(release, words, namespace, values)
            if chart == "cni":
                rollout.wait_for_daemon_set(namespace, f"{release}-node")
            elif chart != "base":
                rollout.wait_for_deployments(namespace, [release])


def install_knative(
    rollout: Rollout, manifests: Sequence[Manifest], settings: Sequence[Manifest], platform: Platform
) -> None:
    """Installs Knative's official manifests and net-istio, with our ConfigMaps merged into theirs from the start.

    For the size of queue-proxy, and where there are sidecars, the platform file overrides `settings`.

    Raises:
        PlatformError: the cluster rejects an object, or a part does not become ready in time; says why.
    """
    over = combined(settings, [queue_proxy_settings(platform)], knative_settings(platform))
    phases = apply_phases(with_sidecars(with_settings(manifests, over), platform))
    with rollout.step(f"Knative Serving, {len(phases)} objects"):
        rollout.apply(phases)
        rollout.wait_for_deployments(platform.knative_namespace)


def install_policies(rollout: Rollout, platform: Platform) -> None:
    """Installs NetworkPolicies, AuthorizationPolicies and admission policies of the platform."""
    phases = apply_phases(platform_manifests(platform))
    with rollout.step(f"policies of the platform, {len(phases)} objects"):
        rollout.apply(phases)


def install_product(rollout: Rollout, overlay: Sequence[Manifest], platform: Platform) -> None:
    """Installs our kinds, namespace, gateway and controller.

    Raises:
        PlatformError: an object is refused, or a Deployment does not become available in time; says why.
    """
    phases = apply_phases(overlay)
    namespace = platform.system_namespace
    names = [item["metadata"]["name"] for item in overlay if item["kind"] == "Deployment"]
    with rollout.step(f"{', '.join(names) or 'our kinds'}, {len(phases)} objects"):
        rollout.apply(phases)
        if names:
            rollout.wait_for_deployments(namespace, names)


def platform_in(overlay: Sequence[Manifest]) -> Platform:
    """The platform file in the overlay, which the controller will use.

    Raises:
        PlatformError: the overlay contains none, or an invalid one.
    """
    for item in overlay:
        name = item["metadata"]["name"]
        if item["kind"] == "ConfigMap" and (name == PLATFORM_CONFIG or name.startswith(f"{PLATFORM_CONFIG}-")):
            try:
                return platform_of(yaml.safe_load(item["data"]["platform.yaml"]))
            except (KeyError, yaml.YAMLError, PlatformFileError) as error:
                raise PlatformError(f"platform.yaml in the overlay's ConfigMap {name}: {error}") from error
    raise PlatformError(f"the overlay has no ConfigMap {PLATFORM_CONFIG} with a platform.yaml")


def overlay_problems(overlay: Sequence[Manifest], platform: Platform) -> list[str]:
    """Contradictions between the overlay and the platform file, from which the policies are built."""
    problems = []
    try:
        if platform_in(overlay) != platform:
            problems.append("the overlay's platform.yaml, which the controller reads, differs from the platform file")
    except PlatformError as error:
        problems.append(str(error))
    for item in overlay:
        if item["kind"] != "Deployment":
            continue
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
        if namespace != platform.system_namespace:
            problems.append(
                f"Deployment {name} is in {namespace}, but system_namespace in the platform file is "
                f"{platform.system_namespace}"
            )
    labels = [
        item["spec"]["template"]["metadata"].get("labels", {}) for item in overlay if item["kind"] == "Deployment"
    ]
    if labels and not any(platform.gateway_labels.items() <= each.items() for each in labels):
        problems.append("no Deployment has the labels gateway_labels: the gateway could not reach the local gateway")
    return problems
