"""kubectl, with the node's credentials."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.commands import PYTHON_PROGRAMS, run
from tests.machine import scaled

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Kubectl:
    """Calls kubectl as the cluster's administrator."""

    kubeconfig: Path

    @property
    def words(self) -> list[str]:
        return [str(PYTHON_PROGRAMS / "kubectl"), f"--kubeconfig={self.kubeconfig}"]

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        return run([*self.words, *map(_scaled, words)], stdin=stdin, timeout_seconds=600)

    def get(self, *words: str) -> Any:
        """One object or list, as JSON."""
        return json.loads(self("get", *words, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side apply; ours wins over what a webhook wrote."""
        manifest = yaml.safe_dump_all(objects)
        self("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)

    def wait_for_deployments(self, namespace: str, seconds: int = 120) -> None:
        """Until every Deployment of the namespace is available."""
        self("wait", "--for=condition=Available", "deployment", "--all", "-n", namespace, f"--timeout={seconds}s")


def _scaled(word: str) -> str:
    """The word; the seconds of `--timeout=120s` are those of a machine that does nothing else."""
    return re.sub(r"(?<=^--timeout=)\d+(?=s$)", lambda seconds: f"{scaled(int(seconds[0])):.0f}", word)
