"""NetworkPolicies that close what all tenants share: Knative's activator and autoscaler, the local gateway, istiod.

NetworkPolicies add up. An operator's own (monitoring on 9090 or 15014, say) open their flow beside these; so does
Istio's chart with `global.networkPolicy.enabled=true`, which admits everybody and must stay off.
"""

from collections.abc import Mapping

from policies.labels import NAMESPACE_NAME, TENANT
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
    # The activator calls whatever tenant it is told to: whoever reaches it reaches everybody.
    calls: list[Rule] = [{"from": [ingress(platform), autoscaler(platform)], "ports": network_ports(CALLS)}]
    # Autoscalers pass statistics on to the one that leads; without the activator's, it crashes in a loop.
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
        # What the ingress shows to the world stays as it is; load balancers and kubelets have no labels.
        {"ports": network_ports([*INGRESS_PUBLIC, INGRESS_HEALTH])},
        {"from": _local_callers(platform), "ports": network_ports([LOCAL_GATEWAY])},
    ]
    return (
        _closed(place, "istiod", {"app": "istiod"}, istiod),
        _closed(place, "ingress", platform.ingress_labels, gateway),
    )


def _closed(namespace: str, name: str, labels: Mapping[str, str], rules: list[Rule]) -> Manifest:
    """Nothing gets into these pods but by the rules."""
    return network_policy(platform_metadata(f"osfaas-{name}", namespace), labels, ["Ingress"], ingress=rules)


def _local_callers(platform: Platform) -> list[Peer]:
    """Our gateway, and Knative, whose Istio controller probes the gateway pods before a Knative Service is Ready."""
    knative = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: platform.knative_namespace}}}
    return [pods_in(platform.system_namespace, platform.gateway_labels), knative]


def _proxies(platform: Platform) -> list[Peer]:
    """Who has an Envoy to configure: any namespace of the operator's, and tenants' when they have sidecars."""
    if platform.sidecars:
        return [{"namespaceSelector": {}}]
    return [{"namespaceSelector": {"matchExpressions": [{"key": TENANT, "operator": "DoesNotExist"}]}}]


def _api_server(port: int) -> Rule:
    """A webhook's port, open to all: the API server has no label and, when it is managed, no known address.

    The webhooks speak TLS and judge objects that are shown to them; they give nothing away and change nothing.
    """
    return {"ports": network_ports([port])}
