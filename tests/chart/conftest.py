"""The chart, made from the tree's manifests, and helm as the test cluster builds it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import chart_files, write_chart
from tests.cluster.recipes.components import HELM, KUBERNETES_VERSION
from tests.cluster.recipes.recipe import make_recipe
from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "manifests" / "overlays" / "example"
Values = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """helm and the chart.

    Attributes:
        least: values of a site that gives what is required and nothing else.
    """

    program: Path
    chart: Path
    archive: Path
    least: Values
    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(60))

    def file(self, values: Values) -> str:
        path = self.folder / "values.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(values), encoding="utf-8")
        return str(path)

    def render(self, values: Values, *words: str, namespace: str = "osfaas-system") -> subprocess.CompletedProcess[str]:
        where = ("--namespace", namespace, "--kube-version", KUBERNETES_VERSION)
        return self.run("template", "osfaas", str(self.chart), *where, "--values", self.file(values), *words)

    def objects(self, values: Values, *words: str) -> list[dict[str, Any]]:
        done = self.render(values, *words)
        assert done.returncode == 0, done.stderr
        return [item for item in yaml.safe_load_all(done.stdout) if item]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    folder = tmp_path_factory.mktemp("chart")
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    chart, archive = write_chart(chart_files(CHECKOUT, kubectl), folder)
    least = {
        "publicUrl": "https://faas.example.org",
        "platform": (EXAMPLE / "platform.yaml").read_text(encoding="utf-8"),
        "image": {"repository": "registry.example.org/osfaas/gateway"},
        "network": {"kubernetesApi": {"cidrs": ["198.51.100.10/32"]}, "openstack": {"cidrs": ["203.0.113.5/32"]}},
    }
    return Helm(make_recipe(HELM.recipe()) / "helm", chart, archive, least, folder)


@pytest.fixture(scope="session")
def changed(helm: Helm) -> Callable[..., Values]:
    """The least values with some in other places: `changed({"a.b": 1})`; None takes one away."""

    def change(differences: Values) -> Values:
        values: Values = json.loads(json.dumps(helm.least))
        for path, value in differences.items():
            *steps, last = path.split(".")
            part = values
            for step in steps:
                part = part.setdefault(step, {})
            if value is None:
                del part[last]
            else:
                part[last] = value
        return values

    return change
