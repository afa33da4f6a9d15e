"""The manifests as `kubectl kustomize` renders them."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
MANIFESTS = CHECKOUT / "manifests"
KUBECTL = Path(sys.executable).parent / "kubectl"


def kustomizations() -> list[str]:
    """Every folder that can be rendered, relative to the checkout: the bases, the example, the test cluster's own."""
    named = [item for item in objects if item["kind"] == kind and item["metadata"]["name"].startswith(name)]
    exact = [item for item in named if item["metadata"]["name"] == name]
    (only,) = exact or [item for item in named if item["metadata"]["name"].startswith(f"{name}-")]
    return only
