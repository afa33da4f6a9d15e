"""The manifests as `kubectl kustomize` renders them, and the chart as helm does."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.machine import scaled

CHECKOUT = Path(__file__).resolve().parents[3]
MANIFESTS = CHECKOUT / "manifests"
KUBECTL = Path(sys.executable).parent / "kubectl"
# `make chart-test` sets it: files that helm has rendered, which must pass the same tests.
RENDERED_CHARTS = os.environ.get("RENDERED_CHARTS", "")


def kustomizations() -> list[str]:
    """Every folder that can be rendered, relative to the checkout: the bases, the example, the test cluster's own.

    And each file that helm has rendered, if there are some.
    """
    found = [*MANIFESTS.rglob("kustomization.yaml"), *(CHECKOUT / "tests" / "cluster").rglob("kustomization.yaml")]
    charts = Path(RENDERED_CHARTS).glob("*.yaml") if RENDERED_CHARTS else ()
    return sorted([*(str(file.parent.relative_to(CHECKOUT)) for file in found), *map(str, charts)])


@functools.cache
def _text(folder: str) -> str:
    if folder.endswith(".yaml"):
        return Path(folder).read_text(encoding="utf-8")
    words = [str(KUBECTL), "kustomize", str(CHECKOUT / folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=scaled(60))
    assert done.returncode == 0, done.stderr
    # Warnings speak of fields that the next kustomize drops.
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


def rendered(folder: str) -> list[dict[str, Any]]:
    """All objects of one folder."""
    return [item for item in yaml.safe_load_all(_text(folder)) if item]


def overlay_with_policy(folder: Path, rules: str) -> Path:
    """A copy of the example with the entries of docs/how-to/policy.md."""
    page = (CHECKOUT / "docs/how-to/policy.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```yaml\n(configMapGenerator:.*?)```", page, re.DOTALL)
    example = MANIFESTS / "overlays" / "example"
    site = yaml.safe_load((example / "kustomization.yaml").read_text(encoding="utf-8"))
    site["resources"] = [os.path.relpath(example / base, folder) for base in site["resources"]]
    site["configMapGenerator"] += yaml.safe_load(lines)["configMapGenerator"]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    (folder / "platform.yaml").write_bytes((example / "platform.yaml").read_bytes())
    (folder / "policy.yaml").write_text(rules, encoding="utf-8")
    return folder


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of that kind whose name is, or begins with, the given one (generated names have a hash behind)."""
    named = [item for item in objects if item["kind"] == kind and item["metadata"]["name"].startswith(name)]
    exact = [item for item in named if item["metadata"]["name"] == name]
    (only,) = exact or [item for item in named if item["metadata"]["name"].startswith(f"{name}-")]
    return only
