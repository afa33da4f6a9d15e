"""Checks of what isolates pods: sidecars, the mesh, sandboxed runtimes."""

from collections.abc import Iterator

from policies.model import Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity


def check_isolation(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    """Findings about sidecars, the ambient mesh and the RuntimeClass."""
    has_cni = any(name.startswith("istio-cni") for name in facts.daemonsets)
    if platform.sidecars and not has_cni:
        yield Finding(
            Severity.UNSAFE, "sidecars.no_cni",
            "The platform file says `sidecars: true`, and there is no istio-cni: with Pod Security `restricted` no"
            " pod of a tenant gets a sidecar, so AuthorizationPolicies and mutual TLS on them are not in force.",
            "Install Istio's chart `cni`, or say `sidecars: false`.",
        )  # fmt: skip
    elif not platform.sidecars:
        yield Finding(
            Severity.ADVICE, "sidecars.off",
            "Tenants' pods have no sidecars: between them NetworkPolicies decide, and no mutual TLS.",
            "For L3 as a whole install Istio's chart `cni` and say `sidecars: true`.",
        )  # fmt: skip
    ambient = [name for name in facts.daemonsets if name.startswith("ztunnel")]
    if ambient or facts.ambient_namespaces:
        where = ", ".join([*ambient, *facts.ambient_namespaces])
        yield Finding(
            Severity.UNSAFE, "mesh.ambient",
            f"Istio's ambient mesh is in use ({where}): Knative does not support it, and its tunnel goes around"
            " policies that name ports.",
            "Take ztunnel away, and the label istio.io/dataplane-mode from namespaces.",
        )  # fmt: skip
    runtime = platform.sandbox_runtime_class
    if runtime and runtime not in facts.runtime_classes:
        yield Finding(
            Severity.MISSING, "runtime.missing",
            f"The platform file names the RuntimeClass {runtime}, which is not there: no pod of L4 or L5 starts.",
            "Install the sandboxed runtime on the nodes, with its RuntimeClass.",
        )  # fmt: skip
