"""Istio, Knative and Knative's tests agree about the modules they share, so that Go compiles those once."""

import re
from collections import defaultdict
from pathlib import Path

COMPONENTS = Path(__file__).resolve().parents[1] / "cluster" / "components"
# Kubernetes and Cilium are a minor version of Kubernetes' libraries ahead.
TOGETHER = ("istio", "knative", "knative-tests", "eventing")
_PIN = re.compile(r"^\s(\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)


def test_shared_modules_have_one_version() -> None:
    """A package is compiled again if one of its dependencies, however distant, differs."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in TOGETHER:
        pins = _PIN.findall((COMPONENTS / name / "go.mod").read_text(encoding="utf-8"))
        assert pins
        for module, version in pins:
            found[module].add(version)
    assert {module: versions for module, versions in found.items() if len(versions) > 1} == {}
