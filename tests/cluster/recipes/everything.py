"""`make cluster-build`: every package, program and image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.cluster.layout import LAYOUT
from tests.cluster.packages import install_packages
from tests.cluster.progress import step
from tests.cluster.recipes.base import BASE
from tests.cluster.recipes.components import COMPONENTS
from tests.cluster.recipes.images import gateway_image, image_recipes, runtime_images
from tests.cluster.recipes.recipe import make_recipe


def make_everything() -> None:
    """Builds what is missing or outdated, reuses the rest."""
    LAYOUT.work.mkdir(parents=True, exist_ok=True)
    with step("everything built or reused", processor=True):
        install_packages()
        images = (*image_recipes(), gateway_image(), *runtime_images().values())
        # Images of Debian's and Python's packages mostly wait for the network, and compilers for a processor.
        apart = [recipe for recipe in images if all(need is BASE for need in recipe.needs)]
        with ThreadPoolExecutor(1) as beside:
            made = beside.submit(lambda: [make_recipe(recipe) for recipe in apart])
            for component in COMPONENTS:
                make_recipe(component.recipe())
            made.result()
        for recipe in images:
            if recipe not in apart:
                make_recipe(recipe)
