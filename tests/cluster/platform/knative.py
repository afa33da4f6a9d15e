"""Knative Serving as the product installs it, by its own manifests, with our images in place of the published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from policies.model import Platform
from tenancy.platform import install as product
from tenancy.platform.sources import combined, render
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.platform.rollout import rollout
from tests.cluster.standins.gateways import knative_gateways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.platform.kubectl import Kubectl

NAMESPACE = "knative-serving"
_BUILT = LAYOUT.built_by("knative")
# One node has no use for them.
_LEFT_OUT = {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
# Settings of this cluster, over those of the product.
_SETTINGS: dict[str, dict[str, str]] = {
    "config-deployment": {"queue-sidecar-image": "dev.local/knative-queue:test"},
    # Tests wait for these: seconds, not minutes. Documented in docs/how-to/test-cluster.md.
    "config-autoscaler": {"scale-to-zero-grace-period": "5s", "stable-window": "10s"},
    "config-domain": {"example.test": ""},
}


def install_knative(kubectl: Kubectl) -> None:
    """The product's own installation; what net-istio's manifests would bring comes along."""
    settings = combined(render(kubectl.words[0], CHECKOUT / "manifests" / "platform"), configmaps())
    manifests = [*knative_objects(), *knative_gateways()]
    product.install_knative(rollout(kubectl), manifests, settings, Platform(functions={}))


def configmaps() -> list[dict[str, Any]]:
    """This cluster's own settings."""
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}
        for name, data in _SETTINGS.items()
    ]


def knative_objects() -> Iterator[dict[str, Any]]:
    """Everything of the manifests that this cluster wants, changed where it differs."""
    for file in _manifests():
        for item in yaml.safe_load_all(file.read_text()):
            if item and item["kind"] not in _LEFT_OUT:
                yield _fitted(item)


def _manifests() -> list[Path]:
    folders = [_BUILT / name for name in ("serving", "networking", "caching")]
    return [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]


def _fitted(item: dict[str, Any]) -> dict[str, Any]:
    if item["kind"] == "Deployment":
        for container in item["spec"]["template"]["spec"]["containers"]:
            container["image"] = _image(container["image"])
            container["imagePullPolicy"] = "IfNotPresent"
            container.setdefault("resources", {})["requests"] = {"cpu": "10m", "memory": "40Mi"}
    elif item["kind"] == "Image":
        item["spec"]["image"] = _image(item["spec"]["image"])
    return item


def _image(published: str) -> str:
    return f"dev.local/knative-{published.rsplit('/', 1)[-1]}:test"
