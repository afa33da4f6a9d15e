"""Knative Eventing: its programs and images. Only one test wants them, and imports them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.recipes.components import KNATIVE_EVENTING
from tests.cluster.recipes.images import FileImage

if TYPE_CHECKING:
    from tests.cluster.recipes.recipe import Recipe

PROGRAMS = (
    "controller",
    "webhook",
    "channel_controller",
    "channel_dispatcher",
    "mtchannel_broker",
    "ingress",
    "filter",
)


def image_of(program: str) -> str:
    """The tag under which nodes know a program."""
    return f"dev.local/knative-eventing-{program}:test"


def eventing_recipes() -> tuple[Recipe, ...]:
    """The programs, then the images."""
    programs = KNATIVE_EVENTING.recipe()
    images = tuple(
        FileImage(
            image_of(program),
            ((f"ko-app/{program}", programs, Path(program)),),
            (f"/ko-app/{program}",),
            user="65532:65532",
        ).recipe(f"knative-eventing-image-{program}")
        for program in PROGRAMS
    )
    return (programs, *images)
