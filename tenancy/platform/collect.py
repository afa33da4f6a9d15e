"""Collects the facts from a cluster, read-only."""

from collections.abc import Iterator
from typing import Any

import yaml

from policies.model import Manifest, Platform
from policies.platform import platform_manifests
from policies.ports import LOCAL_GATEWAY
from tenancy.kubernetes.client import Cluster, Kind, Ref, ref_of
from tenancy.model.errors import KindMissingError
from tenancy.platform.checks.versions import ADMISSION_KINDS, version_of
from tenancy.platform.cluster_facts import ClusterFacts, Enforcement
from tenancy.platform.rollout import CRD, DAEMON_SET, DEPLOYMENT, POD
from tenancy.platform.sidecars import CALLERS

_CONFIG_MAP = Kind("v1", "ConfigMap")
_NAMESPACE, _NODE = Kind("v1", "Namespace"), Kind("v1", "Node")
_NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
_CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
_RUNTIME_CLASS = Kind("node.k8s.io/v1", "RuntimeClass")
_SERVICE = Kind("v1", "Service")
_HTTP = 80
# Istio's own label, introduced for Knative.
_NO_TRANSLATION = "experimental.istio.io/disable-gateway-port-translation"
_TENANT_ROLES = ("edit", "admin")


def collect_facts(
    cluster: Cluster, platform: Platform, enforcement: Enforcement = Enforcement.NOT_TRIED
) -> ClusterFacts:
    """Reads the facts for the checks.

    Raises:
        ClusterError: the cluster does not answer, or refuses.
    """
    istiod = cluster.get(Ref(DEPLOYMENT, platform.istio_namespace, "istiod"))
    knative = cluster.get(Ref(DEPLOYMENT, platform.knative_namespace, "controller"))
    roles = (cluster.get(Ref(_CLUSTER_ROLE, "", name)) for name in _TENANT_ROLES)
    namespaces = cluster.list(_NAMESPACE).items
    return ClusterFacts(
        kubernetes=_oldest_kubelet(cluster),
        knative=_version(knative),
        istio=_version(istiod),
        has_knative=knative is not None,
        has_istio=istiod is not None,
        kinds=frozenset(_kinds(cluster)),
        daemonsets=frozenset(_names(cluster.list(DAEMON_SET).items)),
        knative_config=_knative_config(cluster, platform),
        mesh_config=_mesh_config(cluster, platform),
        network_policies=tuple(_network_policies(cluster, platform)),
        missing=tuple(_missing(cluster, platform)),
        ambient_namespaces=tuple(
            item["metadata"]["name"]
            for item in namespaces
            if item["metadata"].get("labels", {}).get("istio.io/dataplane-mode") == "ambient"
        ),
        tenant_roles=tuple(role for role in roles if role is not None),
        runtime_classes=frozenset(_names(cluster.list(_RUNTIME_CLASS).items)),
        enforcement=enforcement,
        translated_gateways=tuple(_translated_gateways(cluster, platform)),
        images={
            item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
            for item in cluster.list(DEPLOYMENT, namespace=platform.system_namespace).items
        },
        injection=_injection(cluster, platform),
        outside_mesh=tuple(_outside_mesh(cluster, platform)),
    )


def _oldest_kubelet(cluster: Cluster) -> str:
    """The oldest node decides which features pods can use."""
    versions = [str(item["status"]["nodeInfo"]["kubeletVersion"]) for item in cluster.list(_NODE).items]
    return min(versions, key=lambda text: version_of(text) or (0, 0), default="")


def _version(deployment: Manifest | None) -> str:
    if deployment is None:
        return ""
    label = str(deployment["metadata"].get("labels", {}).get("app.kubernetes.io/version", ""))
    image = str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
    tag = image.partition("@")[0].rpartition(":")[2]
    # Istio's charts have the version 1.0.0 before they are released.
    return tag if version_of(tag) or label == "1.0.0" else label


def _kinds(cluster: Cluster) -> Iterator[str]:
    yield from _names(cluster.list(CRD).items)
    for text in ADMISSION_KINDS:
        version, _, kind = text.rpartition("/")
        try:
            cluster.list(Kind(version, kind))
        except KindMissingError:
            continue
        yield text


def _names(items: tuple[Manifest, ...]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def _knative_config(cluster: Cluster, platform: Platform) -> dict[str, dict[str, str]]:
    items = cluster.list(_CONFIG_MAP, namespace=platform.knative_namespace).items
    return {item["metadata"]["name"]: item.get("data") or {} for item in items}


def _mesh_config(cluster: Cluster, platform: Platform) -> dict[str, Any]:
    found = cluster.get(Ref(_CONFIG_MAP, platform.istio_namespace, "istio"))
    mesh = yaml.safe_load((found or {}).get("data", {}).get("mesh", "")) if found else None
    return mesh if isinstance(mesh, dict) else {}


def _injection(cluster: Cluster, platform: Platform) -> dict[str, Any]:
    found = cluster.get(Ref(_CONFIG_MAP, platform.istio_namespace, "istio-sidecar-injector"))
    values = yaml.safe_load((found or {}).get("data", {}).get("values", "")) if found else None
    return values if isinstance(values, dict) else {}


def _outside_mesh(cluster: Cluster, platform: Platform) -> Iterator[str]:
    """By their pods: a label says what was wanted, and a pod that was there before it has no sidecar."""
    for name in CALLERS:
        for pod in cluster.list(POD, namespace=platform.knative_namespace, labels=f"app={name}").items:
            spec = pod["spec"]
            containers = {each["name"] for each in (*spec["containers"], *spec.get("initContainers", ()))}
            if "istio-proxy" not in containers and "deletionTimestamp" not in pod["metadata"]:
                yield name
                break


def _network_policies(cluster: Cluster, platform: Platform) -> Iterator[Manifest]:
    for namespace in (platform.istio_namespace, platform.knative_namespace, platform.system_namespace):
        yield from cluster.list(_NETWORK_POLICY, namespace=namespace).items


def _translated_gateways(cluster: Cluster, platform: Platform) -> Iterator[str]:
    for item in cluster.list(_SERVICE, namespace=platform.istio_namespace).items:
        ports = item["spec"].get("ports") or []
        translated = any(port["port"] == _HTTP and port.get("targetPort", _HTTP) == LOCAL_GATEWAY for port in ports)
        if translated and _NO_TRANSLATION not in item["metadata"].get("labels", {}):
            yield item["metadata"]["name"]


def _missing(cluster: Cluster, platform: Platform) -> Iterator[str]:
    for item in platform_manifests(platform):
        ref = ref_of(item)
        try:
            found = cluster.get(ref)
        except KindMissingError:
            found = None
        if found is None:
            yield str(ref)
