"""cyclonus, and the image of servers and probes that it runs: made on demand, for tests of NetworkPolicies only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.recipes.components import AGNHOST, CYCLONUS
from tests.cluster.recipes.images import FileImage

if TYPE_CHECKING:
    from tests.cluster.recipes.recipe import Recipe


def judge_recipes() -> tuple[Recipe, ...]:
    """The programs, then the image under the name that cyclonus asks for; it is Kubernetes' own agnhost."""
    agnhost = AGNHOST.recipe()
    image = FileImage("dev.local/e2e-test-images/agnhost:2.43", (("agnhost", agnhost, Path("agnhost")),), ("/agnhost",))
    return CYCLONUS.recipe(), agnhost, image.recipe("judge-image-agnhost")
