"""Checks the isolation of pods: sidecars, the mesh, sandboxed runtimes."""

from collections.abc import Iterator

from policies.model import Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity


def check_isolation(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    """Findings about sidecars, the ambient mesh and the RuntimeClass."""
    has_cni = any(name.startswith("istio-cni") for name in facts.daemonsets)
    if platform.sidecars and not has_cni:
        yield Finding(
            Severity.UNSAFE, "sidecars.no_cni",
            "The platform file has `sidecars: true`, but istio-cni is not installed: with Pod Security `restricted` no"
            " pod of a tenant gets a sidecar, so AuthorizationPolicies and mutual TLS are not in force.",
            "Install Istio's chart `cni`, or set `sidecars: false`.",
        )  # fmt: skip
    elif not platform.sidecars:
        yield Finding(
            Severity.ADVICE, "sidecars.off",
            "Tenants' pods have no sidecars: only NetworkPolicies protect them, without mutual TLS.",
            "For all of L3, install Istio's chart `cni` and set `sidecars: true`.",
        )  # fmt: skip
    ambient = [name for name in facts.daemonsets if name.startswith("ztunnel")]
    if ambient or facts.ambient_namespaces:
        where = ", ".join([*ambient, *facts.ambient_namespaces])
        yield Finding(
            Severity.UNSAFE, "mesh.ambient",
            f"Istio's ambient mesh is in use ({where}): Knative does not support it, and its tunnel bypasses"
            " policies that name ports.",
            "Remove ztunnel, and the label istio.io/dataplane-mode from namespaces.",
        )  # fmt: skip
    runtime = platform.sandbox_runtime_class
    if runtime and runtime not in facts.runtime_classes:
        yield Finding(
            Severity.MISSING, "runtime.missing",
            f"The RuntimeClass {runtime} of the platform file does not exist: no pod of L4 or L5 starts.",
            "Install the sandboxed runtime on the nodes, with its RuntimeClass.",
        )  # fmt: skip
