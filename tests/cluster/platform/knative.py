"""Knative Serving by its own manifests, with our images in place of the published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.commands import CommandError, wait_until
from tests.cluster.layout import LAYOUT
from tests.cluster.progress import step
from tests.cluster.standins.gateways import knative_gateways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.platform.kubectl import Kubectl

NAMESPACE = "knative-serving"
_BUILT = LAYOUT.built_by("knative")
# One node has no use for them.
_LEFT_OUT = {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
# Settings of this cluster, over those of the manifests.
_SETTINGS: dict[str, dict[str, str]] = {
    "config-deployment": {
        "queue-sidecar-image": "dev.local/knative-queue:test",
        "registries-skipping-tag-resolving": "dev.local",
    },
    "config-network": {"ingress-class": "istio.ingress.networking.knative.dev"},
    # Tests wait for these: seconds, not minutes. Documented in docs/test-cluster.md.
    "config-autoscaler": {"scale-to-zero-grace-period": "5s", "stable-window": "10s"},
    "config-domain": {"example.test": ""},
}


def install_knative(kubectl: Kubectl) -> None:
    """Custom resources first, then the rest, then again what its own webhooks refused while they started."""
    with step("Knative Serving"):
        objects = list(knative_objects())
        crds = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
        rest = [item for item in objects if item["kind"] != "CustomResourceDefinition"]
        kubectl.apply(*crds)
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        images = [item for item in rest if item["kind"] == "Image"]
        kubectl.apply(*(item for item in rest if item["kind"] != "Image"))
        kubectl.apply(*images)
        kubectl.wait_for_deployments(NAMESPACE)
        wait_until("Knative's gateways applied", lambda: _apply_gateways(kubectl), seconds=60, pause=1)


def _apply_gateways(kubectl: Kubectl) -> bool:
    """Istio's custom resources are installed beside us; they may come a little later."""
    try:
        kubectl.apply(*knative_gateways())
    except CommandError:
        return False
    return True


def knative_objects() -> Iterator[dict[str, Any]]:
    """Everything of the manifests that this cluster wants, changed where it differs."""
    seen: set[tuple[str, str, str]] = set()
    for file in _manifests():
        for item in yaml.safe_load_all(file.read_text()):
            if not item or item["kind"] in _LEFT_OUT:
                continue
            identity = (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            if identity not in seen:
                seen.add(identity)
                yield _fitted(item)


def _manifests() -> list[Path]:
    folders = [_BUILT / name for name in ("serving", "networking", "caching")]
    return [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]


def _fitted(item: dict[str, Any]) -> dict[str, Any]:
    name = item["metadata"]["name"]
    if item["kind"] == "ConfigMap":
        data = {key: text for key, text in (item.get("data") or {}).items() if key != "_example"}
        item["data"] = {**data, **_SETTINGS.get(name, {})}
        # It guards the example that was dropped.
        item["metadata"].get("annotations", {}).pop("knative.dev/example-checksum", None)
    elif item["kind"] == "Deployment":
        for container in item["spec"]["template"]["spec"]["containers"]:
            container["image"] = _image(container["image"])
            container["imagePullPolicy"] = "IfNotPresent"
            container.setdefault("resources", {})["requests"] = {"cpu": "10m", "memory": "40Mi"}
    elif item["kind"] == "Image":
        item["spec"]["image"] = _image(item["spec"]["image"])
    return item


def _image(published: str) -> str:
    return f"dev.local/knative-{published.rsplit('/', 1)[-1]}:test"
