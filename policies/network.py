"""NetworkPolicies of a tenant's namespace: default deny, and the flows that Knative needs.

Every rule names its ports: a rule without ports would open the function's own port, bypassing queue-proxy, and
queue-proxy's 8022, which ends a pod for any client.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from policies.labels import BUILD, NAMESPACE_NAME
from policies.mesh import MESHED_POD, has_sidecars
from policies.metadata import tenant_metadata
from policies.model import Builds, Destination, IsolationLevel, Manifest, Platform, TenantSpec
from policies.ports import AUTOSCALER_METRICS, CALLS, XDS

DENY_ALL = "osfaas-deny-all"
CALLS_IN = "osfaas-calls"
METRICS_IN = "osfaas-metrics"
OUT = "osfaas-out"
BUILDS_OUT = "osfaas-builds-out"
ISTIOD_OUT = "osfaas-istiod-out"

Rule = dict[str, Any]
Peer = dict[str, Any]


def pods_in(namespace: str, labels: Mapping[str, str]) -> Peer:
    """The pods with these labels in that one namespace; both selectors in one peer, so that both must hold."""
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": dict(labels)},
    }


def network_ports(ports: Sequence[int], protocols: Sequence[str] = ("TCP",)) -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": port} for port in ports for protocol in protocols]


def network_policy(
    metadata: dict[str, Any], labels: Mapping[str, str], types: list[str], **rules: list[Rule]
) -> Manifest:
    """One NetworkPolicy on the pods with these labels; without labels, on every pod of its namespace."""
    selector = {"matchLabels": dict(labels)} if labels else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": selector, "policyTypes": types, **rules},
    }


def activator(platform: Platform) -> Peer:
    return pods_in(platform.knative_namespace, {"app": "activator"})


def autoscaler(platform: Platform) -> Peer:
    return pods_in(platform.knative_namespace, {"app": "autoscaler"})


def ingress(platform: Platform) -> Peer:
    return pods_in(platform.istio_namespace, platform.ingress_labels)


def build_network_policies(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """The NetworkPolicies of the namespace; below level L2 only while the tenant is suspended.

    A suspended tenant, of any level, has only the default deny: nothing reaches its pods, and they reach nothing, from
    the suspension until they have ended.
    """
    if spec.suspended is not None:
        return (_policy(spec, DENY_ALL, ["Ingress", "Egress"]),)
    if not spec.isolation >= IsolationLevel.L2:
        return ()
    policies = (
        _policy(spec, DENY_ALL, ["Ingress", "Egress"]),
        _policy(spec, CALLS_IN, ["Ingress"], ingress=_calls(platform)),
        _policy(spec, METRICS_IN, ["Ingress"], ingress=_metrics(platform)),
        _policy(spec, OUT, ["Egress"], egress=_egress(platform)),
    )
    istiod = _istiod_out(spec, platform) if has_sidecars(spec, platform) else ()
    if platform.builds is None:
        return (*policies, *istiod)
    return (*map(_not_of_builds, policies), *istiod, _builds_out(spec, platform, platform.builds))


def _not_of_builds(policy: Manifest) -> Manifest:
    """The default deny is for all pods; what is allowed, for those of functions."""
    if policy["metadata"]["name"] != DENY_ALL:
        policy["spec"]["podSelector"] = {"matchExpressions": [{"key": BUILD, "operator": "DoesNotExist"}]}
    return policy


def _builds_out(spec: TenantSpec, platform: Platform, builds: Builds) -> Manifest:
    rules = [_dns(platform), *_destinations(builds.destinations)]
    policy = _policy(spec, BUILDS_OUT, ["Egress"], egress=rules)
    policy["spec"]["podSelector"] = {"matchExpressions": [{"key": BUILD, "operator": "Exists"}]}
    return policy


def _calls(platform: Platform) -> list[Rule]:
    callers = [ingress(platform), activator(platform), autoscaler(platform)]
    return [{"from": callers, "ports": network_ports(CALLS)}]


def _metrics(platform: Platform) -> list[Rule]:
    return [{"from": [autoscaler(platform)], "ports": network_ports([AUTOSCALER_METRICS])}]


def _egress(platform: Platform) -> list[Rule]:
    return [_dns(platform), *_destinations(platform.destinations)]


def _istiod_out(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """The way to istiod, for pods with a proxy that it configures: not for tenants' own code in the sandbox."""
    rule = {"to": [pods_in(platform.istio_namespace, {"app": "istiod"})], "ports": network_ports([XDS])}
    return (network_policy(tenant_metadata(spec, ISTIOD_OUT), MESHED_POD, ["Egress"], egress=[rule]),)


def _dns(platform: Platform) -> Rule:
    dns = pods_in(platform.dns_namespace, platform.dns_labels)
    return {"to": [dns], "ports": network_ports(platform.dns_ports, ("UDP", "TCP"))}


def _destinations(destinations: Sequence[Destination]) -> list[Rule]:
    return [
        {"to": [{"ipBlock": {"cidr": destination.cidr}}], "ports": network_ports(destination.ports)}
        for destination in destinations
    ]


def _policy(spec: TenantSpec, name: str, types: list[str], **rules: list[Rule]) -> Manifest:
    return network_policy(tenant_metadata(spec, name), {}, types, **rules)
