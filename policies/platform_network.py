"""NetworkPolicies that protect shared components: Knative's activator and autoscaler, the local gateway, istiod.

NetworkPolicies are additive. An operator's own (for monitoring on 9090 or 15014) open further flows; so does Istio's
chart with `global.networkPolicy.enabled=true`, which admits everybody and must stay off.
"""

from collections.abc import Mapping

from policies.labels import NAMESPACE_NAME, TENANT
from policies.mesh import MESHED_POD
from policies.metadata import platform_metadata
from policies.model import Manifest, Platform
from policies.network import Peer, Rule, activator, autoscaler, ingress, network_policy, network_ports, pods_in
from policies.ports import (
    AUTOSCALER_STATS,
    CALLS,
    INGRESS_HEALTH,
    INGRESS_PUBLIC,
    ISTIO_WEBHOOK,
    LOCAL_GATEWAY,
    WEBHOOK,
    XDS,
)


def build_platform_network_policies(platform: Platform) -> tuple[Manifest, ...]:
    """The NetworkPolicies in Knative's and Istio's namespaces; all of them for ingress only."""
    return (*_of_knative(platform), *_of_istio(platform))


def _of_knative(platform: Platform) -> tuple[Manifest, ...]:
    place = platform.knative_namespace
    # The activator calls any tenant that a request names: a client that reaches it reaches all tenants.
    calls: list[Rule] = [{"from": [ingress(platform), autoscaler(platform)], "ports": network_ports(CALLS)}]
    # Autoscalers forward statistics to their leader; without the activator's statistics it crashes in a loop.
    stats: list[Rule] = [
        {"from": [activator(platform), autoscaler(platform)], "ports": network_ports([AUTOSCALER_STATS])}
    ]
    return (
        _closed(place, "deny-all", {}, []),
        _closed(place, "activator", {"app": "activator"}, calls),
        _closed(place, "autoscaler", {"app": "autoscaler"}, stats),
        _closed(place, "webhooks", {}, [_api_server(WEBHOOK)]),
    )


def _of_istio(platform: Platform) -> tuple[Manifest, ...]:
    place = platform.istio_namespace
    istiod: list[Rule] = [
        _api_server(ISTIO_WEBHOOK),
        {"from": _proxies(platform), "ports": network_ports([XDS])},
    ]
    gateway: list[Rule] = [
        # The public ports stay open; load balancers and kubelets have no labels.
        {"ports": network_ports([*INGRESS_PUBLIC, INGRESS_HEALTH])},
        {"from": _local_callers(platform), "ports": network_ports([LOCAL_GATEWAY])},
    ]
    return (
        _closed(place, "istiod", {"app": "istiod"}, istiod),
        _closed(place, "ingress", platform.ingress_labels, gateway),
    )


def _closed(namespace: str, name: str, labels: Mapping[str, str], rules: list[Rule]) -> Manifest:
    """A policy that admits only the given ingress rules."""
    return network_policy(platform_metadata(f"osfaas-{name}", namespace), labels, ["Ingress"], ingress=rules)


def _local_callers(platform: Platform) -> list[Peer]:
    """Our gateway, and Knative, whose Istio controller probes the gateway pods before a Knative Service is Ready."""
    knative = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: platform.knative_namespace}}}
    return [pods_in(platform.system_namespace, platform.gateway_labels), knative]


def _proxies(platform: Platform) -> list[Peer]:
    """Pods with an Envoy to configure: in the operator's namespaces, and those of tenants that have a sidecar."""
    others = {"namespaceSelector": {"matchExpressions": [{"key": TENANT, "operator": "DoesNotExist"}]}}
    if not platform.sidecars:
        return [others]
    tenants = {"namespaceSelector": {"matchExpressions": [{"key": TENANT, "operator": "Exists"}]}}
    return [others, {**tenants, "podSelector": {"matchLabels": MESHED_POD}}]


def _api_server(port: int) -> Rule:
    """Opens a webhook's port to all: the API server has no label and, if managed, no known address.

    The webhooks use TLS and validate the objects in requests; they disclose nothing and change nothing.
    """
    return {"ports": network_ports([port])}
