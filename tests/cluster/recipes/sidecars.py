"""Istio's CNI plugin: its program and the image of its installer. Only one test wants them, and imports the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.recipes.base import BASE
from tests.cluster.recipes.components import ISTIO_CNI
from tests.cluster.recipes.images import FileImage

if TYPE_CHECKING:
    from tests.cluster.recipes.recipe import Recipe

IMAGE = "install-cni"


def sidecar_recipes() -> tuple[Recipe, ...]:
    """The programs, then the image."""
    programs = ISTIO_CNI.recipe()
    installer = (
        ("usr/local/bin/install-cni", programs, Path("install-cni")),
        # The installer copies whatever is in this folder to the node.
        ("opt/cni/bin/istio-cni", programs, Path("istio-cni")),
    )
    image = FileImage(f"dev.local/{IMAGE}:test", installer, ("/usr/local/bin/install-cni",), base=BASE)
    return (programs, image.recipe("istio-cni-image"))
