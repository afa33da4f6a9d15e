"""A tenant's objects: what is refused, what every tenant has, what a level adds, what a suspension takes away."""

import dataclasses

import pytest

from policies.errors import PolicyError
from policies.labels import MANAGED_BY, TENANT
from policies.model import IsolationLevel, Limits
from policies.tenant import tenant_manifests
from tests.unit.policies.examples import PLATFORM, SPEC


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"isolation": IsolationLevel.L4}, "level L4 needs a sandboxed runtime"),
        ({"isolation": IsolationLevel.L5}, "level L5 needs a sandboxed runtime"),
        ({"functions": ("checksums", "nothing")}, "the catalogue has no function nothing; its functions: checksums"),
        ({"limits": Limits(pods=0)}, "too small for one pod of checksums"),
        ({"limits": Limits(cpu_millis=499)}, "too small for one pod of checksums"),
        ({"limits": Limits(memory_mib=383)}, "too small for one pod of checksums"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_sentence(change: dict[str, object], sentence: str) -> None:
    """Nothing half is built."""
    with pytest.raises(PolicyError, match=sentence):
        tenant_manifests(dataclasses.replace(SPEC, **change), PLATFORM)


def test_namespace_comes_first_and_the_function_last() -> None:
    """Everything between has to be there before a pod starts."""
    kinds = [manifest["kind"] for manifest in tenant_manifests(SPEC, PLATFORM)]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "Service"


def test_everything_carries_our_labels_and_lies_in_the_namespace() -> None:
    """By these the controller knows what is its own."""
    for manifest in tenant_manifests(SPEC, PLATFORM):
        metadata = manifest["metadata"]
        assert metadata["labels"][MANAGED_BY] == "osfaas"
        assert metadata["labels"][TENANT] == SPEC.namespace
        assert metadata.get("namespace", metadata["name"]) == SPEC.namespace
