"""cyclonus, a judge of NetworkPolicies that is not ours, asked about single connections without any cluster."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies.model import Manifest
from tests.cluster.recipes.components import CYCLONUS
from tests.cluster.recipes.recipe import make_recipe
from tests.machine import scaled

_VERDICT = "Is traffic allowed?"


@dataclass(frozen=True)
class Place:
    """A pod by its labels and its namespace's, or, without a namespace, an address outside the cluster."""

    name: str
    namespace: str = ""
    pod_labels: tuple[tuple[str, str], ...] = ()
    namespace_labels: tuple[tuple[str, str], ...] = ()
    address: str = "10.244.0.9"

    def as_json(self) -> dict[str, Any]:
        if not self.namespace:
            return {"IP": self.address}
        internal = {
            "Namespace": self.namespace,
            "PodLabels": dict(self.pod_labels),
            "NamespaceLabels": {"kubernetes.io/metadata.name": self.namespace, **dict(self.namespace_labels)},
        }
        return {"IP": self.address, "Internal": internal}


@dataclass(frozen=True)
class Connection:
    source: Place
    target: Place
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.source.name} → {self.target.name} {self.port}/{self.protocol}"

    def as_json(self) -> dict[str, Any]:
        return {
            "Source": self.source.as_json(),
            "Destination": self.target.as_json(),
            "ResolvedPort": self.port,
            "Protocol": self.protocol,
        }


@cache
def judge() -> Path:
    """The program; it is built from Go's module cache where the test cluster has not been built yet."""
    return make_recipe(CYCLONUS.recipe()) / "cyclonus"


def verdicts(manifests: Sequence[Manifest], connections: Sequence[Connection], scratch: Path) -> list[bool]:
    """For each connection, whether the NetworkPolicies among the objects let it through, both ends together."""
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    listed = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": policies}
    (scratch / "policies.yaml").write_text(yaml.safe_dump(listed))
    (scratch / "traffic.json").write_text(json.dumps([connection.as_json() for connection in connections]))
    command = [str(judge()), "analyze", "--mode=query-traffic"]
    files = [f"--policy-path={scratch / 'policies.yaml'}", f"--traffic-path={scratch / 'traffic.json'}"]
    output = subprocess.run([*command, *files], capture_output=True, text=True, check=True, timeout=scaled(60)).stdout
    tables = output.split(_VERDICT)[1:]
    assert len(tables) == len(connections)
    return [_combined(table) for table in tables]


def _combined(table: str) -> bool:
    """Its last row says whether source and target agree."""
    row = next(line for line in table.splitlines() if "IS ALLOWED" in line.upper())
    return "true" in row.lower()
