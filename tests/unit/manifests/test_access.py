"""What gateway and controller may do: as much as they need, and nothing of each other's work."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from policies.access import (
    CONTROLLER_ROLE,
    FUNCTIONS_API_ROLE,
    build_controller_binding,
    build_functions_api_binding,
)
from policies.model import IsolationLevel, TenantSpec
from policies.names import ProjectId
from policies.own_build import REGISTRY_SECRETS
from policies.tenant import tenant_manifests
from tenancy.kubernetes.client import Kind, ref_of
from tenancy.kubernetes.kinds import OWNED_KINDS
from tenancy.kubernetes.watches import WATCHED_KINDS
from tenancy.platform.install import platform_in
from tests.unit.manifests.rendered import kustomizations, one, rendered

READING = {"get", "list", "watch"}
# To write a Role is to give oneself whatever it says; the rest is a way into other pods or identities.
FORBIDDEN = {
    "secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token",
    "clusterroles", "clusterrolebindings", "nodes", "nodes/proxy",
    "validatingadmissionpolicies", "mutatingadmissionpolicies", "virtualservices", "domainmappings",
}  # fmt: skip
DANGEROUS_VERBS = {"*", "bind", "escalate", "impersonate"}
# Pods show their variables, events and Deployments what somebody else runs.
OF_ONE_NAMESPACE = {"pods", "deployments", "replicasets", "events", "configmaps"}
# The roles that the controller may bind, each to one account (its admission policy).
BINDING = {
    "apiGroups": ["rbac.authorization.k8s.io"],
    "resources": ["clusterroles"],
    "resourceNames": [CONTROLLER_ROLE, FUNCTIONS_API_ROLE],
    "verbs": ["bind"],
}


# Two Secrets by their names, in tenants' namespaces: the credentials for the registry.
SECRETS = {
    "apiGroups": [""],
    "resources": ["secrets"],
    "resourceNames": list(REGISTRY_SECRETS),
    "verbs": ["get", "create", "patch", "delete"],
}


def rules(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in rendered(folder):
        if item["kind"] in {"Role", "ClusterRole"}:
            for rule in item["rules"]:
                yield item["metadata"]["name"], rule


@pytest.mark.parametrize("folder", kustomizations())
def test_no_rule_has_a_wildcard_or_leads_to_more_rights(folder: str):
    """A wildcard grants what does not exist yet."""
    for name, rule in rules(folder):
        if (name, rule) in (("osfaas-controller", BINDING), (CONTROLLER_ROLE, SECRETS)):
            continue
        assert not DANGEROUS_VERBS & set(rule["verbs"]), name
        assert "*" not in {*rule["apiGroups"], *rule["resources"]}, name
        # Write-only, and bounded by an admission policy: tests/unit/policies/test_own_function_secrets.py.
        if (name, rule["resources"]) == (FUNCTIONS_API_ROLE, ["secrets"]):
            assert rule["verbs"] == ["create", "delete"]
            continue
        assert not FORBIDDEN & set(rule["resources"]), name
        assert "roles" not in rule["resources"], name
        assert name == "osfaas-controller" or "rolebindings" not in rule["resources"], name


@pytest.mark.parametrize("folder", kustomizations())
def test_no_role_gathers_the_rules_of_others(folder: str):
    """An aggregated role grows with whatever anybody labels."""
    assert [item for item in rendered(folder) if item.get("aggregationRule")] == []


def test_the_gateway_may_read_tenants_and_triggers_and_nothing_else():
    """All rules that any binding gives to its ServiceAccount."""
    objects = rendered("manifests/gateway")
    roles = [item for item in objects if item["kind"] in {"Role", "ClusterRole"}]
    (role,) = roles
    resources = ["tenants", "functiontriggers"]
    assert role["rules"] == [{"apiGroups": ["osfaas.dev"], "resources": resources, "verbs": ["get", "list", "watch"]}]
    bindings = [item for item in objects if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    assert [binding["roleRef"]["name"] for binding in bindings] == ["osfaas-gateway"]


def granted(kind: Kind) -> set[str]:
    """What the controller may do with a kind."""
    group = kind.api_version.rpartition("/")[0]
    name = kind.kind.lower()
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    found = [rule for _, rule in rules("manifests/controller") if group in rule["apiGroups"]]
    return {verb for rule in found if plural in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("kind", [watched.kind for watched in WATCHED_KINDS], ids=str)
def test_the_controller_may_watch_what_it_watches(kind: Kind):
    """A forbidden watch starts anew for ever, and nothing is repaired."""
    assert granted(kind) >= READING


def test_the_controller_may_write_what_a_tenant_is_made_of():
    """At the level that has most."""
    platform = platform_in(rendered("manifests/overlays/example"))
    spec = TenantSpec(ProjectId("a" * 32), isolation=IsolationLevel.L3)
    for item in tenant_manifests(spec, replace(platform, sidecars=True)):
        assert {"get", "create", "patch", "delete"} <= granted(ref_of(item).kind), item["kind"]


def test_the_controller_may_take_away_whatever_it_owned_once():
    """Other versions made other kinds."""
    for kind in OWNED_KINDS:
        assert "delete" in granted(kind), kind


@pytest.mark.parametrize("folder", kustomizations())
def test_nobody_sees_the_pods_of_all_namespaces(folder: str):
    """No ClusterRoleBinding leads to what holds other people's variables."""
    objects = rendered(folder)
    bound = {item["roleRef"]["name"] for item in objects if item["kind"] == "ClusterRoleBinding"}
    for item in objects:
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] in bound:
            seen = {resource for rule in item["rules"] for resource in rule["resources"]}
            assert not seen & OF_ONE_NAMESPACE, item["metadata"]["name"]


def test_in_tenants_namespaces_the_controller_sees_what_explains_failures_and_ends_pods():
    """It changes no pod, and makes none but by the Jobs of builds; of Secrets, it sees its own two."""
    role = one(rendered("manifests/controller"), "ClusterRole", CONTROLLER_ROLE)
    found = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert found == {
        ("pods", "list"),
        ("pods", "delete"),
        ("deployments", "list"),
        ("revisions", "list"),
        ("functions/status", "patch"),
        *(("jobs", verb) for verb in ("get", "list", "create", "patch", "delete")),
        *(("secrets", verb) for verb in SECRETS["verbs"]),
    }
    assert SECRETS in role["rules"]


def test_the_controller_binds_that_role_to_itself_in_every_tenants_namespace():
    """By the names of the manifests."""
    platform = platform_in(rendered("manifests/overlays/example"))
    binding = build_controller_binding(TenantSpec(ProjectId("a" * 32)), platform)
    (cluster_wide,) = [item for item in rendered("manifests/controller") if item["kind"] == "ClusterRoleBinding"]
    assert binding["subjects"] == cluster_wide["subjects"]
    assert binding["roleRef"]["name"] == CONTROLLER_ROLE


def test_the_administrators_process_writes_records_and_nothing_else():
    """It removes none, and touches no namespace."""
    (rule,) = [rule for _, rule in rules("manifests/admin-api")]
    assert (rule["apiGroups"], rule["resources"]) == (["osfaas.dev"], ["tenants"])
    assert set(rule["verbs"]) == {*READING, "create", "patch", "update"}


def test_the_functions_process_reads_tenants_and_writes_functions_in_their_namespaces_alone():
    """No Tenant, no status, no pod; it reads no Secret, by no verb that answers with one.

    The binding in each namespace is the controller's work.
    """
    objects = rendered("manifests/functions-api")
    bound = [item["roleRef"]["name"] for item in objects if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    assert bound == ["osfaas-functions-api"]
    assert one(objects, "ClusterRole", "osfaas-functions-api")["rules"] == [
        {"apiGroups": ["osfaas.dev"], "resources": ["tenants"], "verbs": ["get", "list", "watch"]}
    ]
    role = one(objects, "ClusterRole", FUNCTIONS_API_ROLE)
    found = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert found == {
        *(
            (of, verb)
            for of in ("functions", "functionsecrets", "functiontriggers")
            for verb in ("get", "list", "create", "patch", "delete")
        ),
        ("secrets", "create"),
        ("secrets", "delete"),
        ("revisions", "list"),
        ("pods", "list"),
        ("pods/log", "get"),
    }


def test_the_controller_binds_that_role_to_the_functions_process_in_every_tenants_namespace():
    platform = platform_in(rendered("manifests/overlays/example"))
    binding = build_functions_api_binding(TenantSpec(ProjectId("a" * 32)), platform)
    (cluster_wide,) = [item for item in rendered("manifests/functions-api") if item["kind"] == "ClusterRoleBinding"]
    assert binding["subjects"] == cluster_wide["subjects"]
    assert binding["roleRef"]["name"] == FUNCTIONS_API_ROLE


def test_the_scheduler_reads_records_and_writes_the_status_of_triggers_and_its_lease():
    """No trigger, no function, no tenant, no Secret; and no Lease but its own."""
    objects = rendered("manifests/scheduler")
    found = {
        (item["kind"], resource, verb, *rule.get("resourceNames", ()))
        for item in objects
        if item["kind"] in {"Role", "ClusterRole"}
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert found == {
        *(("ClusterRole", of, verb) for of in ("tenants", "functiontriggers") for verb in READING),
        ("ClusterRole", "functiontriggers/status", "patch"),
        ("Role", "leases", "create"),
        *(("Role", "leases", verb, "osfaas-scheduler") for verb in ("get", "patch")),
    }


def test_nobody_has_the_controllers_rights_but_the_controller():
    """The two identities are apart, and each binding names one."""
    for item in rendered("manifests/overlays/example"):
        if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            (subject,) = item["subjects"]
            assert subject["kind"] == "ServiceAccount"
            assert item["roleRef"]["name"].startswith(subject["name"])


def test_the_controller_may_write_only_in_tenants_namespaces():
    """RBAC cannot say it; the admission policy does, for every kind that the controller may write."""
    objects = rendered("manifests/controller")
    policy = one(objects, "ValidatingAdmissionPolicy", "osfaas-controller-scope")["spec"]
    assert policy["failurePolicy"] == "Fail"
    (matched,) = policy["matchConstraints"]["resourceRules"]
    roles = [one(objects, "ClusterRole", name) for name in ("osfaas-controller", CONTROLLER_ROLE)]
    written = {
        (group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if not set(rule["verbs"]) <= READING and group != "osfaas.dev" and rule != BINDING
    }
    assert {group for group, _ in written} <= set(matched["apiGroups"])
    assert {resource for _, resource in written} == set(matched["resources"])
    assert set(matched["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    binding = one(objects, "ValidatingAdmissionPolicyBinding", "osfaas-controller-scope")["spec"]
    assert binding == {"policyName": "osfaas-controller-scope", "validationActions": ["Deny"]}
