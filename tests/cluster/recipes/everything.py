"""`make cluster-build`: every package, program and image, in order."""

from __future__ import annotations

from tests.cluster.layout import LAYOUT
from tests.cluster.packages import install_packages
from tests.cluster.progress import step
from tests.cluster.recipes.components import COMPONENTS
from tests.cluster.recipes.images import gateway_image, image_recipes
from tests.cluster.recipes.recipe import make_recipe


def make_everything() -> None:
    """Builds what is missing or outdated, reuses the rest."""
    LAYOUT.work.mkdir(parents=True, exist_ok=True)
    with step("everything built or reused", processor=True):
        install_packages()
        for component in COMPONENTS:
            make_recipe(component.recipe())
        for recipe in (*image_recipes(), gateway_image()):
            make_recipe(recipe)
