"""Knative Eventing on the test cluster: its broker and the in-memory channel, built and installed when a test asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tenancy.platform.sources import apply_phases, with_settings
from tests.cluster.platform.knative import fitted
from tests.cluster.platform.rollout import rollout
from tests.cluster.progress import step
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.components import EVENTING, EVENTING_PROGRAMS
from tests.cluster.recipes.images import FileImage
from tests.cluster.recipes.recipe import make_recipe

if TYPE_CHECKING:
    from tests.cluster.recipes.recipe import Recipe
    from tests.cluster.testbed import Testbed

NAMESPACE = "knative-eventing"
BROKER_SERVICE = "broker-ingress"
# Parts that no broker needs: they would only be pods on a node with two cores.
_LEFT_OUT = frozenset({"job-sink", "request-reply", "pingsource-mt-adapter"})


def eventing_recipes() -> tuple[Recipe, ...]:
    """The programs, then an image of each. Not called `image-…`: a boot imports all of those."""
    programs = EVENTING.recipe()
    roots = (("etc/ssl/certs/ca-certificates.crt", None, Path("/etc/ssl/certs/ca-certificates.crt")),)
    images = (
        FileImage(
            f"dev.local/eventing-{name}:test",
            ((f"ko-app/{name}", programs, Path(name)), *roots),
            (f"/ko-app/{name}",),
            user="65532:65532",
        ).recipe(f"eventing-image-{name}")
        for name in EVENTING_PROGRAMS
    )
    return (programs, *images)


def install_eventing(cluster: Testbed) -> None:
    """By its own manifests, as an operator does; returns when all of its Deployments are available."""
    for recipe in eventing_recipes():
        make_recipe(recipe)
        archive = recipe.folder / ARCHIVE
        if archive.is_file():
            cluster.import_image(archive)
    built = EVENTING.recipe().folder
    objects = fitted([built / name for name in ("core", "broker", "channel", "images")], "eventing")
    wanted = [item for item in objects if item["metadata"]["name"] not in _LEFT_OUT]
    with step("Knative Eventing"):
        part = rollout(cluster.kubectl)
        part.apply(apply_phases(with_settings(wanted, ())))
        part.wait_for_deployments(NAMESPACE)
