"""Knative Serving's own tests as a judge: which of them pass in a namespace, asked from the node."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.components import KNATIVE_TESTS
from tests.cluster.recipes.knative_tests import REPOSITORY, TAG, knative_test_recipes
from tests.cluster.recipes.recipe import make_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cluster.testbed import Testbed

# The tests translate port 80 by the node ports of this Service; one that has no port 80 leaves it as it is.
_ENVIRONMENT = ("SYSTEM_NAMESPACE=knative-serving", "GATEWAY_OVERRIDE=istiod")
# A top-level line of `go test -v`.
_RESULT = re.compile(r"^--- (PASS|FAIL|SKIP): (Test\w+) ", re.MULTILINE)


class Result(Enum):
    """What became of one test."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True)
class Suite:
    """One program of tests and which of them are run."""

    program: str
    tests: tuple[str, ...]

    @property
    def pattern(self) -> str:
        return f"^({'|'.join(self.tests)})$"


def import_test_images(cluster: Testbed) -> None:
    """Builds the tests and their images, or reuses them, and brings the images onto the node."""
    for recipe in knative_test_recipes():
        make_recipe(recipe)
        archive = recipe.folder / ARCHIVE
        if archive.is_file():
            cluster.import_image(archive)


def run_suites(
    cluster: Testbed, suites: Sequence[Suite], *, namespace: str, ingress: str, seconds: int = 900
) -> Mapping[str, Result]:
    """Runs the tests in a namespace and reaches their Services through an ingress.

    Args:
        cluster: where.
        suites: which.
        namespace: an existing one; the tests make and remove their own objects in it.
        ingress: address of the ingress, by which they ask with the Host of each Service.
        seconds: most time for each program.
    """
    results: dict[str, Result] = {}
    for suite in suites:
        log = cluster.running.layout.logs / f"{suite.program}-{namespace}.log"
        command = [
            str(KNATIVE_TESTS.recipe().folder / suite.program),
            f"--kubeconfig={cluster.running.layout.node_kubeconfig}",
            f"--test-namespace={namespace}",
            f"--ingressendpoint={ingress}",
            f"--dockerrepo={REPOSITORY}",
            f"--tag={TAG}",
            "--enable-beta",
            "--disable-logstream",
            "-test.v",
            "-test.parallel=2",
            f"-test.timeout={seconds}s",
            f"-test.run={suite.pattern}",
        ]
        with log.open("wb") as sink:
            argv = cluster.running.on_node("env", *_ENVIRONMENT, *command)
            # Its exit status says only whether all passed.
            subprocess.run(argv, stdout=sink, stderr=subprocess.STDOUT, timeout=seconds + 60, check=False)
        found = _RESULT.findall(log.read_text(errors="replace"))
        results |= {name: Result(word) for word, name in found}
    return results
