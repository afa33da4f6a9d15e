"""Which levels get what from the API server, and what a pod of a function says of itself before that."""

import dataclasses

import pytest

from policies.admission import TENANT_NAMESPACES
from policies.labels import BUILD, CALLABLE, ISOLATION, OWN_FUNCTION
from policies.model import IsolationLevel, Platform
from policies.platform import platform_manifests
from policies.sandbox import sandbox_of
from policies.tenant import tenant_manifests
from tests.unit.policies.examples import PLATFORM, SANDBOXED, SPEC, at


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


def test_what_no_tenants_pod_may_holds_at_every_level_and_on_every_platform() -> None:
    """A tenant with nodes of its own is promised that nobody else's pods come, from wherever."""
    for platform in (PLATFORM, SANDBOXED):
        (policy,) = [
            item
            for item in platform_manifests(platform)
            if item["metadata"]["name"] == "osfaas-pods-placement" and "matchConstraints" in item["spec"]
        ]
        assert policy["spec"]["matchConstraints"]["namespaceSelector"] == TENANT_NAMESPACES
        (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
        # Tolerations may be added to a pod that is there already.
        assert rule["operations"] == ["CREATE", "UPDATE"]


def test_a_platform_that_lost_its_sandbox_gives_what_level_three_has() -> None:
    """A namespace may bear a higher level than the platform can give; its pods must not have less for it."""
    assert levels(PLATFORM, "osfaas-pods-user-namespace") == both("L3", "L4", "L5")


def test_another_level_makes_another_revision() -> None:
    """So that pods of the catalogue's functions are replaced; nothing changes a pod that runs."""
    templates = [
        tenant_manifests(at(level), SANDBOXED)[-1]["spec"]["template"]
        for level in (IsolationLevel.L3, IsolationLevel.L4)
    ]
    assert templates[0] != templates[1]


def test_a_function_of_the_catalogue_is_not_called_raw_unless_the_platform_says_so() -> None:
    """Whoever calls checksums by themselves chooses what it reads."""
    function = PLATFORM.functions["checksums"]
    open_ = dataclasses.replace(PLATFORM, functions={"checksums": dataclasses.replace(function, callable=True)})
    labels = [tenant_manifests(SPEC, platform)[-1]["metadata"]["labels"][CALLABLE] for platform in (PLATFORM, open_)]
    assert labels == ["false", "true"]


def test_labels_that_open_the_platform_to_a_namespace_are_the_platforms_to_write() -> None:
    """Of the namespaces of tenants."""
    policy = next(item for item in platform_manifests(PLATFORM) if item["metadata"]["name"] == "osfaas-namespaces")
    (expression, _) = [rule["expression"] for rule in policy["spec"]["validations"]]
    for label in ("osfaas.dev/monitoring", "osfaas.dev/system", "istio.io/use-waypoint"):
        assert f"'{label}'" in expression


@pytest.mark.parametrize("name", ["osfaas-pods-sandbox", "osfaas-pods-node-pool"])
def test_a_platform_without_a_sandbox_promises_none(name: str) -> None:
    """Otherwise pods would be sent to a RuntimeClass that is not there."""
    assert levels(PLATFORM, name) == {}


def test_user_namespaces_are_not_asked_of_a_sandbox_that_has_none() -> None:
    """The kubelet would refuse every pod of L4 and L5; where the runtime takes them, they get both."""
    assert levels(SANDBOXED, "osfaas-pods-user-namespace") == both("L3")
    able = dataclasses.replace(SANDBOXED, sandbox_user_namespaces=True)
    assert levels(able, "osfaas-pods-user-namespace") == both("L3", "L4", "L5")


@pytest.mark.parametrize(
    ("name", "label"), [("osfaas-pods-own-functions", OWN_FUNCTION), ("osfaas-pods-builds", BUILD)]
)
def test_code_of_tenants_is_sandboxed_at_every_level_unless_the_platform_says_otherwise(name: str, label: str) -> None:
    """Both kinds of policies select it by the label of its pods, in the namespaces of tenants."""
    policies = [
        item["spec"]["matchConstraints"]
        for item in platform_manifests(SANDBOXED)
        if item["metadata"]["name"] == name and "matchConstraints" in item["spec"]
    ]
    assert len(policies) == 2
    for match in policies:
        assert match["namespaceSelector"] == TENANT_NAMESPACES
        assert match["objectSelector"] == {"matchExpressions": [{"key": label, "operator": "Exists"}]}
    for platform in (PLATFORM, dataclasses.replace(SANDBOXED, sandbox_own_functions=False)):
        names = {item["metadata"]["name"] for item in platform_manifests(platform)}
        assert name not in names


@pytest.mark.parametrize(
    ("level", "platform", "tenant_code", "runtime_class"),
    [
        (IsolationLevel.L3, SANDBOXED, False, None),
        (IsolationLevel.L3, SANDBOXED, True, "gvisor"),
        (IsolationLevel.L3, dataclasses.replace(SANDBOXED, sandbox_own_functions=False), True, None),
        (IsolationLevel.L4, dataclasses.replace(SANDBOXED, sandbox_own_functions=False), False, "gvisor"),
        (IsolationLevel.L5, SANDBOXED, False, "gvisor"),
        (IsolationLevel.L4, PLATFORM, True, None),
    ],
)
def test_level_and_origin_of_the_code_decide_about_the_sandbox(
    level: IsolationLevel, platform: Platform, tenant_code: bool, runtime_class: str | None
) -> None:
    """The same decision for own functions, builds and reports."""
    assert sandbox_of(level, platform, tenant_code=tenant_code) == runtime_class


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
