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
            "Install Istio's chart `cni` (`osfaas platform install` with Istio's charts), or set `sidecars: false`.",
        )  # fmt: skip
    elif platform.sidecars:
        yield from _check_sidecars(facts)
    else:
        yield Finding(
            Severity.ADVICE, "sidecars.off",
            "Tenants' pods have no sidecars: only NetworkPolicies protect them, without mutual TLS.",
            "For all of L3, set `sidecars: true` and run `osfaas platform install` with Istio's charts.",
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


def _check_sidecars(facts: ClusterFacts) -> Iterator[Finding]:
    proxy = facts.injection.get("global", {}).get("proxy", {})
    cni = facts.injection.get("pilot", {}).get("cni", {})
    if not cni.get("enabled") or not proxy.get("seccompProfile"):
        yield Finding(
            Severity.MISSING, "sidecars.values",
            "istiod makes sidecars that Pod Security `restricted` refuses (pilot.cni.enabled or"
            " global.proxy.seccompProfile is not set): no pod of a tenant starts from L3 on.",
            "Use the values in manifests/platform/istio/sidecars.yaml.",
        )  # fmt: skip
    mode = facts.knative_config.get("config-network", {}).get("mesh-compatibility-mode")
    if facts.outside_mesh or mode != "enabled":
        what = f"{', '.join(facts.outside_mesh)} without a sidecar; mesh-compatibility-mode: {mode}"
        yield Finding(
            Severity.MISSING, "sidecars.knative",
            f"Knative calls tenants' pods outside the mesh ({what}): from L3 on they refuse its calls.",
            "Run `osfaas platform install` with Knative's manifests.",
        )  # fmt: skip
