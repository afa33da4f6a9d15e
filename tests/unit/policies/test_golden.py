"""All rendered objects, as they are known and reviewed. `UPDATE_GOLDEN=1` writes them anew; the diff is then read."""

import os
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from policies.model import Manifest
from tests.unit.policies.examples import RENDERED

GOLDEN = Path(__file__).parent / "golden"
_KUBERNETES = "1.36"
# Schemas of Kubernetes alone are known to the validator. The server of the test cluster judges these kinds.
_OF_OTHERS = ("serving.knative.dev/v1", "security.istio.io/v1", "networking.istio.io/v1alpha3")


@pytest.mark.parametrize("name", RENDERED)
def test_rendered_objects_are_those_of_the_golden_file(name: str) -> None:
    """A change of any field of any object is seen in review."""
    text = yaml.safe_dump_all(RENDERED[name], sort_keys=False, width=120)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_no_golden_file_is_without_its_test() -> None:
    """A file that nothing is compared with would look like a promise."""
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(RENDERED)


OF_KUBERNETES = [
    pytest.param(manifest, id=f"{name}-{manifest['kind']}-{manifest['metadata']['name']}")
    for name, manifests in RENDERED.items()
    for manifest in manifests
    if manifest["apiVersion"] not in _OF_OTHERS
]


@pytest.mark.parametrize("kind", ["Namespace", "NetworkPolicy", "MutatingAdmissionPolicy"])
def test_a_field_that_kubernetes_does_not_know_is_noticed(kind: str) -> None:
    """The validator has eyes for each part of an object; otherwise the next test would show nothing."""
    manifest = next(param.values[0] for param in OF_KUBERNETES if param.values[0]["kind"] == kind)
    wrong = {**manifest, "spec": {**manifest.get("spec", {}), "nonsense": True}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, _KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", OF_KUBERNETES)
def test_every_object_of_kubernetes_is_valid(manifest: Manifest) -> None:
    """Against the schemas of the release that the test cluster runs; unknown fields are errors."""
    assert kubernetes_validate.validate(manifest, _KUBERNETES, strict=True) == _KUBERNETES
