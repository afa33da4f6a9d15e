"""cyclonus: a judge of NetworkPolicies that is not ours.

It makes nine pods in three namespaces, applies policy after policy, asks from every pod to every other, and compares
with its own reading of the policies.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.commands import CommandError
from tests.cluster.layout import LAYOUT
from tests.cluster.recipes.archives import ARCHIVE
from tests.cluster.recipes.judge import judge_recipes
from tests.cluster.recipes.recipe import make_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.session import RunningCluster
    from tests.cluster.testbed import Testbed

# Its image of servers and probes is looked for here.
_REGISTRY = "dev.local"
NAMESPACES = ("x", "y", "z")
# It writes labels of pods without asking again when the kubelet has written to them meanwhile, which happens while its
# pods are new. It finds them there when it is started again.
_CONFLICT = b"the object has been modified"
_STARTS = 3


@dataclass(frozen=True)
class Verdict:
    """How many cases, and which of them Cilium decided otherwise than the judge."""

    cases: int
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.cases - len(self.wrong)} of {self.cases} cases as the judge reads them"


def bring_judge(cluster: Testbed) -> None:
    """Builds the judge and its image, or reuses them, and brings the image onto the node."""
    for recipe in judge_recipes():
        archive = make_recipe(recipe) / ARCHIVE
        if archive.is_file():
            cluster.import_image(archive)


def judge_policies(cluster: RunningCluster, tags: Sequence[str] = (), seconds: float = 5400) -> Verdict:
    """Runs the cases with any of these tags; without tags, its whole default set."""
    results = cluster.layout.folder / "cyclonus.xml"
    results.unlink(missing_ok=True)
    command = [
        "env",
        f"KUBECONFIG={cluster.layout.node_kubeconfig}",
        str(LAYOUT.built_by("cyclonus") / "cyclonus"),
        "generate",
        f"--image-registry={_REGISTRY}",
        f"--namespace={','.join(NAMESPACES)}",
        "--server-protocol=TCP",
        "--perturbation-wait-seconds=1",
        "--job-timeout-seconds=1",
        "--retries=2",
        "--ignore-loopback",
        "--cleanup-namespaces",
        f"--junit-results-file={results}",
        *([f"--include={','.join(tags)}"] if tags else []),
    ]
    log = cluster.layout.logs / "cyclonus.log"
    for _ in range(_STARTS):
        with log.open("wb") as sink:
            done = subprocess.run(
                cluster.on_node(*command), stdout=sink, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
        if done.returncode == 0:
            return read_verdict(results)
        if _CONFLICT not in log.read_bytes():
            break
    raise CommandError(f"cyclonus exited with {done.returncode}:\n{log.read_text(errors='replace')[-2000:]}")


def read_verdict(results: Path) -> Verdict:
    """Reads the file that cyclonus wrote."""
    cases = list(ET.parse(results).getroot().iter("testcase"))
    wrong = tuple(case.get("name", "?") for case in cases if case.find("failure") is not None)
    return Verdict(len(cases), wrong)
