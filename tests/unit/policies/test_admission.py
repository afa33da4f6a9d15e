"""Which levels get what from the API server, and what a pod of a function says of itself before that."""

import dataclasses

import pytest

from policies.labels import ISOLATION
from policies.model import Platform
from policies.platform import platform_manifests
from policies.tenant import tenant_manifests
from tests.unit.policies.examples import PLATFORM, SANDBOXED, SPEC


def levels(platform: Platform, name: str) -> dict[str, list[str]]:
    """By kind, the levels at which the policy of this name holds."""
    selected = {}
    for manifest in platform_manifests(platform):
        if manifest["metadata"]["name"] == name and "matchConstraints" in manifest["spec"]:
            expression = manifest["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"][0]
            assert expression["key"] == ISOLATION
            selected[manifest["kind"]] = expression["values"]
    return selected


def both(*names: str) -> dict[str, list[str]]:
    return {"MutatingAdmissionPolicy": list(names), "ValidatingAdmissionPolicy": list(names)}


@pytest.mark.parametrize("name", ["osfaas-pods-sandbox", "osfaas-pods-node-pool"])
def test_a_platform_without_a_sandbox_promises_none(name: str) -> None:
    """Otherwise pods would be sent to a RuntimeClass that is not there."""
    assert levels(PLATFORM, name) == {}


def test_user_namespaces_are_not_asked_of_a_sandbox_that_has_none() -> None:
    """The kubelet would refuse every pod of L4 and L5; where the runtime takes them, they get both."""
    assert levels(SANDBOXED, "osfaas-pods-user-namespace") == both("L3")
    able = dataclasses.replace(SANDBOXED, sandbox_user_namespaces=True)
    assert levels(able, "osfaas-pods-user-namespace") == both("L3", "L4", "L5")


def test_what_is_set_is_also_enforced_at_the_same_levels() -> None:
    """A pod that came about without the mutation is refused."""
    assert levels(SANDBOXED, "osfaas-pods-sandbox") == both("L4", "L5")
    assert levels(SANDBOXED, "osfaas-pods-node-pool") == both("L5")


def test_a_functions_pod_holds_no_token_and_no_right() -> None:
    """What Pod Security would refuse, and what it would let through: a token, a writable root, links to Services."""
    pod = tenant_manifests(SPEC, PLATFORM)[-1]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["resources"]["requests"] == container["resources"]["limits"]
