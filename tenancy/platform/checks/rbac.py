"""Checks what Kubernetes' default roles allow in a tenant's namespace."""

from collections.abc import Iterator

from policies.model import Manifest, Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity

WRITE_VERBS = frozenset({"*", "create", "update", "patch", "delete"})
# Group → resources that let a tenant take over another's calls, or override our policies.
DANGEROUS_RESOURCES: dict[str, frozenset[str]] = {
    "networking.istio.io": frozenset({"*"}),
    "security.istio.io": frozenset({"*"}),
    "extensions.istio.io": frozenset({"*"}),
    "serving.knative.dev": frozenset({"domainmappings"}),
    "networking.internal.knative.dev": frozenset({"clusterdomainclaims", "ingresses"}),
}


def check_rbac(facts: ClusterFacts, _platform: Platform) -> Iterator[Finding]:
    """Findings about aggregated roles. Our admission policies reject most such writes in tenants' namespaces."""
    for role in facts.tenant_roles:
        found = sorted(set(_dangerous(role)))
        if found:
            yield Finding(
                Severity.ADVICE, "rights.aggregated",
                f"Users with the role {role['metadata']['name']} in a tenant's namespace may write"
                f" {', '.join(found)}. Only our admission policies protect other tenants' calls from that.",
                "Do not grant this role to tenants; grant a role with read access only.",
            )  # fmt: skip


def _dangerous(role: Manifest) -> Iterator[str]:
    for rule in role.get("rules") or ():
        if not WRITE_VERBS & set(rule.get("verbs", ())):
            continue
        for group in rule.get("apiGroups", ()):
            for wanted, resources in DANGEROUS_RESOURCES.items():
                if group not in {wanted, "*"}:
                    continue
                given = set(rule.get("resources", ()))
                if "*" in given:
                    yield f"{wanted}/*"
                elif "*" in resources:
                    yield from (f"{wanted}/{name}" for name in given)
                else:
                    yield from (f"{wanted}/{name}" for name in given & resources)
