"""Knative Eventing by its own manifests, with our images in place of the published ones: broker, filter, channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.commands import wait_until
from tests.cluster.layout import LAYOUT
from tests.cluster.progress import step
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.components import KNATIVE_EVENTING
from tests.cluster.recipes.eventing import PROGRAMS, eventing_recipes, image_of
from tests.cluster.recipes.recipe import make_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

NAMESPACE = "knative-eventing"
# One node has no use for them.
_LEFT_OUT = {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
_WITH_PODS = {"Deployment", "StatefulSet"}
_FIRST = {"Namespace", "CustomResourceDefinition"}


def install_eventing(cluster: Testbed) -> None:
    """Builds Eventing or reuses it, brings its images onto the node, and waits until its Deployments are available."""
    for recipe in eventing_recipes():
        make_recipe(recipe)
        archive = recipe.folder / ARCHIVE
        if archive.is_file():
            cluster.import_image(archive)
    with step("Knative Eventing"):
        kubectl = cluster.kubectl
        objects = list(_objects())
        kubectl.apply(*(item for item in objects if item["kind"] in _FIRST))
        kubectl(
            "wait",
            "--for=condition=Established",
            "crd",
            "-l",
            "app.kubernetes.io/name=knative-eventing",
            "--timeout=60s",
        )
        kubectl.apply(*(item for item in objects if item["kind"] not in _FIRST))
        kubectl.wait_for_deployments(NAMESPACE, seconds=300)
        # Brokers are admitted by the webhook, which writes its own certificate first.
        probe = ("apply", "--dry-run=server", "-f", "-")
        wait_until("the webhook", lambda: bool(kubectl(*probe, stdin=_BROKER)), seconds=60)


_BROKER = yaml.safe_dump(
    {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "probe", "namespace": "default"}}
)


def _objects() -> Iterator[dict[str, Any]]:
    """Everything of the manifests that this cluster wants, changed where it differs."""
    for file in sorted((LAYOUT.built_by(KNATIVE_EVENTING.name) / "manifests").rglob("*.yaml")):
        for item in yaml.safe_load_all(file.read_text()):
            if item and item["kind"] not in _LEFT_OUT and _has_its_programs(item):
                yield _fitted(item)


def _containers(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the pods that an object makes; all others have none."""
    template = item["spec"].get("template", {}) if item["kind"] in _WITH_PODS else {}
    containers: list[dict[str, Any]] = template.get("spec", {}).get("containers", [])
    return containers


def _has_its_programs(item: dict[str, Any]) -> bool:
    """Whether the programs are built here; sources, job sinks and request-reply are not."""
    return all(_program(each["image"]) in PROGRAMS for each in _containers(item))


def _program(published: str) -> str:
    return published.rpartition("/")[2]


def _fitted(item: dict[str, Any]) -> dict[str, Any]:
    for container in _containers(item):
        container["image"] = image_of(_program(container["image"]))
        container["imagePullPolicy"] = "IfNotPresent"
        container.setdefault("resources", {})["requests"] = {"cpu": "10m", "memory": "40Mi"}
    return item
