"""Knative Serving's own tests: their programs, and the images that they run. Only one test wants them: they are
imported by it, so that no boot has to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.recipes.components import KNATIVE_TEST_IMAGES, KNATIVE_TESTS
from tests.cluster.recipes.images import FileImage

if TYPE_CHECKING:
    from tests.cluster.recipes.recipe import Recipe

# Knative's tests make an image's name of these two.
REPOSITORY = "dev.local/knative-tests"
TAG = "test"


def knative_test_recipes() -> tuple[Recipe, ...]:
    """The programs, then the images. They run without root, as level L1 wants it of every pod."""
    programs = KNATIVE_TESTS.recipe()
    images = tuple(
        FileImage(
            f"{REPOSITORY}/{name}:{TAG}",
            ((f"ko-app/{name}", programs, Path(name)),),
            (f"/ko-app/{name}",),
            user="65532:65532",
        ).recipe(f"knative-test-image-{name}")
        for name in KNATIVE_TEST_IMAGES
    )
    return (programs, *images)
