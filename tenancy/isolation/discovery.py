"""Discovers the targets of the attacks in the cluster."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from policies.model import Destination, Manifest, Platform
from tenancy.isolation.targets import PlatformPod, Targets
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tenancy.model.errors import NotFoundError

_POD, _SERVICE, _NODE = Kind("v1", "Pod"), Kind("v1", "Service"), Kind("v1", "Node")
_LOCAL_GATEWAY = "knative-local-gateway"


def discover_targets(
    cluster: Cluster, platform: Platform, keystone: tuple[str, int] | None, store: tuple[str, int] | None
) -> Targets:
    """The current addresses of the targets.

    Raises:
        ClusterError: the API server rejects a request, or a part of the platform is missing.
    """
    nodes = cluster.list(_NODE).items
    knative, istio = platform.knative_namespace, platform.istio_namespace
    return Targets(
        local_gateway=_cluster_ip(cluster, istio, _LOCAL_GATEWAY),
        gateway=_platform_pod(cluster, istio, platform.ingress_labels),
        activator=_platform_pod(cluster, knative, {"app": "activator"}),
        autoscaler=_platform_pod(cluster, knative, {"app": "autoscaler"}),
        webhook=_platform_pod(cluster, knative, {"app": "webhook"}),
        istiod=_platform_pod(cluster, istio, {"app": "istiod"}),
        api=_cluster_ip(cluster, "default", "kubernetes"),
        node=_node(nodes),
        kernels=tuple(sorted({node["status"]["nodeInfo"]["kernelVersion"] for node in nodes})),
        keystone=keystone,
        store=store or _only_store(platform),
        own_gateway=_own_gateway(cluster, platform),
        registries=_registries(platform),
    )


def is_ready(item: Mapping[str, Any]) -> bool:
    """Whether a pod or a node has the condition Ready."""
    conditions = item.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _cluster_ip(cluster: Cluster, namespace: str, name: str) -> str:
    service = cluster.get(Ref(_SERVICE, namespace, name))
    if service is None:
        raise NotFoundError(f"the namespace {namespace} has no Service {name}")
    return str(service["spec"]["clusterIP"])


def _platform_pod(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> PlatformPod:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = [pod for pod in cluster.list(_POD, namespace=namespace, labels=selector).items if pod["status"].get("podIP")]
    if not pods:
        raise NotFoundError(f"the namespace {namespace} has no running pod with the labels {selector}")
    pod = max(pods, key=is_ready)
    return PlatformPod(pod["status"]["podIP"], is_ready(pod))


def _own_gateway(cluster: Cluster, platform: Platform) -> PlatformPod | None:
    try:
        return _platform_pod(cluster, platform.system_namespace, platform.gateway_labels)
    except NotFoundError:
        return None


def _node(nodes: Iterable[Manifest]) -> str:
    for node in filter(is_ready, nodes):
        for address in node["status"]["addresses"]:
            if address["type"] == "InternalIP":
                return str(address["address"])
    raise NotFoundError("no node is ready")


def _only_store(platform: Platform) -> tuple[str, int] | None:
    """The object store, if the platform names it by a single address."""
    return next(_single(platform.destinations), None)


def _registries(platform: Platform) -> tuple[tuple[str, int], ...]:
    """What builds alone may reach, as far as the platform names it by single addresses."""
    if platform.builds is None:
        return ()
    functions = set(_single(platform.destinations))
    return tuple(each for each in _single(platform.builds.destinations) if each not in functions)


def _single(destinations: Iterable[Destination]) -> Iterator[tuple[str, int]]:
    for destination in destinations:
        address, _, prefix = destination.cidr.partition("/")
        if prefix in {"", "32", "128"}:
            yield from ((address, port) for port in destination.ports)
