"""Checks that NetworkPolicies are enforced, and that no others override ours."""

from collections.abc import Iterator
from typing import Any

from policies.labels import MANAGED_BY, MANAGED_BY_US
from policies.model import Manifest, Platform
from policies.ports import AUTOSCALER_STATS, CALLS, LOCAL_GATEWAY, XDS
from tenancy.platform.cluster_facts import ClusterFacts, Enforcement, Finding, Severity

# DaemonSets and kinds that identify network plugins.
ENFORCING = {
    "cilium": "Cilium",
    "calico-node": "Calico",
    "canal": "Canal",
    "antrea-agent": "Antrea",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "ciliumnetworkpolicies.cilium.io": "Cilium",
    "felixconfigurations.crd.projectcalico.org": "Calico",
    "antreaagentinfos.crd.antrea.io": "Antrea",
}
IGNORING = {"kube-flannel-ds": "Flannel", "kube-flannel": "Flannel"}
# Ports that no policy may open to everybody: local gateway, activator, autoscaler, xDS.
PROTECTED_PORTS = frozenset({LOCAL_GATEWAY, *CALLS, AUTOSCALER_STATS, XDS})
PLACEHOLDER = "192.0.2."
# A Deployment of the product.
WORKER = "osfaas-worker"


def check_network(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    """Findings about NetworkPolicies."""
    yield from _enforcement(facts)
    yield from _opened(facts, platform)
    yield from _placeholders(facts, platform)
    for name in facts.translated_gateways:
        yield Finding(
            Severity.UNSAFE, "mesh.ports",
            f"Istio does not distinguish port 80 of Service {name} from that of the public gateway: public host names"
            " may be served at the local gateway instead.",
            f"kubectl label service {name} experimental.istio.io/disable-gateway-port-translation=true, as net-istio's"
            " manifest does.",
        )  # fmt: skip
    if (facts.mesh_config.get("pathNormalization") or {}) != {"normalization": "NONE"} and facts.has_istio:
        yield Finding(
            Severity.UNSAFE, "mesh.paths",
            "Envoy rewrites paths (meshConfig.pathNormalization is not NONE): names of objects with dots or backslashes"
            " are changed on the way.",
            "Use the values in manifests/platform/istio/istiod.yaml.",
        )  # fmt: skip


def _enforcement(facts: ClusterFacts) -> Iterator[Finding]:
    names = facts.daemonsets | facts.kinds
    known = sorted({plugin for name, plugin in ENFORCING.items() if name in names})
    ignoring = sorted({plugin for name, plugin in IGNORING.items() if name in names and not known})
    if facts.enforcement is Enforcement.IGNORED:
        yield Finding(
            Severity.UNSAFE, "cni.ignored",
            "NetworkPolicies are not enforced: a connection that a policy forbids succeeded. Tenants are not isolated.",
            "Install a network plugin that enforces them (Cilium, Calico).",
        )  # fmt: skip
    elif facts.enforcement is Enforcement.UNCLEAR:
        yield Finding(
            Severity.ADVICE, "cni.unclear",
            "The probe was inconclusive: its two pods could not connect without a policy either, or did not start.",
            "Check the pods' events, choose another --probe-image, and try again.",
        )  # fmt: skip
    elif facts.enforcement is Enforcement.NOT_TRIED and ignoring:
        yield Finding(
            Severity.UNSAFE, "cni.ignoring",
            f"{', '.join(ignoring)} does not enforce NetworkPolicies: tenants are not isolated.",
            "Install a network plugin that enforces them, and test it with --probe.",
        )  # fmt: skip
    elif facts.enforcement is Enforcement.NOT_TRIED and not known:
        yield Finding(
            Severity.UNSAFE, "cni.unknown",
            "No network plugin that enforces NetworkPolicies was recognised; without one, tenants are not isolated.",
            "Test it with --probe: two pods and a policy between them.",
        )  # fmt: skip
    elif facts.enforcement is Enforcement.NOT_TRIED:
        yield Finding(
            Severity.ADVICE, "cni.unproved",
            f"{', '.join(known)} is installed, which enforces NetworkPolicies unless it is configured not to.",
            "Test it with --probe: two pods and a policy between them.",
        )  # fmt: skip


def _opened(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    shared = {platform.istio_namespace, platform.knative_namespace}
    for policy in facts.network_policies:
        metadata = policy["metadata"]
        if metadata["namespace"] not in shared or metadata.get("labels", {}).get(MANAGED_BY) == MANAGED_BY_US:
            continue
        ports = sorted({port for rule in policy["spec"].get("ingress") or () for port in _open_to_all(rule)})
        if ports:
            shown = ", ".join(str(port) for port in ports)
            yield Finding(
                Severity.UNSAFE, "policies.opened",
                f"NetworkPolicy {metadata['name']} in {metadata['namespace']} opens {shown} to everybody. Policies are"
                " additive, so ours have no effect there: tenants can reach each other's functions.",
                "Remove it; if it is Istio's, set global.networkPolicy.enabled=false.",
            )  # fmt: skip


def _open_to_all(rule: dict[str, Any]) -> Iterator[int | str]:
    """The protected ports in a rule without peers, or with all namespaces as peer."""
    peers = rule.get("from")
    if peers and not any(_is_everybody(peer) for peer in peers):
        return
    if not rule.get("ports"):
        yield "all ports"
        return
    for entry in rule["ports"]:
        first = entry.get("port")
        if first is None or isinstance(first, str):
            yield first or "all ports"
        else:
            yield from (port for port in PROTECTED_PORTS if first <= port <= entry.get("endPort", first))


def _is_everybody(peer: dict[str, Any]) -> bool:
    if block := peer.get("ipBlock"):
        return str(block["cidr"]).endswith("/0")
    return peer.get("namespaceSelector") == {} and not peer.get("podSelector")


def _placeholders(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    for policy in facts.network_policies:
        if policy["metadata"]["namespace"] == platform.system_namespace and PLACEHOLDER in _blocks(policy):
            name = policy["metadata"]["name"]
            needed = _has_destination(name, facts, platform)
            yield Finding(
                Severity.MISSING if needed else Severity.ADVICE, "overlay.placeholder",
                f"NetworkPolicy {name} still has the placeholder address {PLACEHOLDER}x: our pods cannot reach its"
                " destination.",
                f"{'Replace' if needed else 'If your site has this destination, replace'} it in your overlay, as"
                " manifests/overlays/example does, or in the values of the chart.",
            )  # fmt: skip


def _has_destination(policy: str, facts: ClusterFacts, platform: Platform) -> bool:
    """Whether the site must have what a policy leads to: only workers need a database, only builds a registry."""
    if policy.endswith("-to-database"):
        return WORKER in facts.images
    if policy == "functions-api-to-registry":
        return platform.builds is not None
    return True


def _blocks(policy: Manifest) -> str:
    peers = [peer for rule in policy["spec"].get("egress") or () for peer in rule.get("to") or ()]
    return " ".join(peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer)
