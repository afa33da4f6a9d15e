"""Attacks by somebody who may use the Kubernetes API in the tenant's namespace with the role `edit`. Pure.

Tenants get no such access from this product; an operator may give it. `edit` is what Kubernetes means for people who
run workloads, and Knative adds itself to it. Every request is a server-side dry run, so a breach changes nothing.
"""

from collections.abc import Iterator
from typing import Any

from policies.labels import KNATIVE_VISIBILITY
from policies.model import IsolationLevel, Manifest
from policies.network import DENY_ALL
from tenancy.isolation.attack import Attack, Request
from tenancy.isolation.targets import Scene

_NAME = "osfaas-verify"
_ADMISSION = "ValidatingAdmissionPolicy"
_NO_RIGHT = " cannot "


def tenant_user_attacks(scene: Scene) -> Iterator[Attack]:
    """What the user can do besides making pods (`tenant_pods`)."""
    yield from _names_and_routes(scene)
    yield from _policies(scene)


def _create(scene: Scene, api: str, plural: str, body: Manifest, *refused_with: str) -> Request:
    prefix = f"/api/{api}" if "/" not in api else f"/apis/{api}"
    metadata = {"name": _NAME, "namespace": scene.tenant.namespace, **body.pop("metadata", {})}
    path = f"{prefix}/namespaces/{scene.tenant.namespace}/{plural}"
    manifest = {"apiVersion": api, "metadata": metadata, **body}
    return Request("POST", path, manifest, refused_with or (_ADMISSION, _NO_RIGHT))


def _image(scene: Scene) -> str:
    """Any that the platform knows; nothing is ever started from it."""
    return next((function.image for function in scene.platform.functions.values()), "example.invalid/none")


def _harmless(scene: Scene) -> Request:
    """What the same user may certainly do: the twin of every request that is not about pods."""
    return _create(scene, "v1", "configmaps", {"kind": "ConfigMap", "data": {"a": "b"}})


def _names_and_routes(scene: Scene) -> Iterator[Attack]:
    victim, level = scene.victim, IsolationLevel.L1
    gateway = f"knative-local-gateway.{scene.platform.istio_namespace}.svc.cluster.local"
    twin = _harmless(scene)
    external: dict[str, Any] = {"kind": "Service", "spec": {"type": "ExternalName", "externalName": gateway}}
    yield Attack(
        "external-name",
        "an ExternalName Service lends a name of this namespace to somebody else's address",
        level,
        _create(scene, "v1", "services", external),
        twin,
    )
    reference = {"name": "checksums", "kind": "Service", "apiVersion": "serving.knative.dev/v1"}
    mapping: dict[str, Any] = {
        "kind": "DomainMapping",
        "metadata": {"name": "api.osfaas-verify.example.org"},
        "spec": {"ref": {**reference, "namespace": scene.tenant.namespace}},
    }
    yield Attack(
        "domain-mapping",
        "a DomainMapping takes over a Host at the shared ingress; Knative refuses by itself inner names only",
        level,
        _create(scene, "serving.knative.dev/v1beta1", "domainmappings", mapping),
        twin,
    )
    hijack: dict[str, Any] = {
        "kind": "VirtualService",
        "spec": {
            "hosts": [victim.host],
            "gateways": [f"{scene.platform.knative_namespace}/knative-local-gateway"],
            "http": [{"route": [{"destination": {"host": f"thief.{scene.tenant.namespace}.svc.cluster.local"}}]}],
        },
    }
    yield Attack(
        "virtual-service-hijack",
        "a VirtualService on the shared gateway takes over another tenant's Host",
        level,
        _create(scene, "networking.istio.io/v1", "virtualservices", hijack),
        twin,
    )
    # Said outright: who says nothing of the visibility is given the right one.
    public: dict[str, Any] = {
        "kind": "Service",
        "metadata": {"labels": {KNATIVE_VISIBILITY: ""}},
        "spec": {"template": {"spec": {"containers": [{"image": _image(scene), "imagePullPolicy": "IfNotPresent"}]}}},
    }
    yield Attack(
        "public-visibility",
        "a Knative Service without cluster-local visibility answers at the public gateway, past identity and budgets",
        level,
        _create(scene, "serving.knative.dev/v1", "services", public),
        twin,
    )


def _policies(scene: Scene) -> Iterator[Attack]:
    namespace, twin = scene.tenant.namespace, _harmless(scene)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    yield Attack(
        "namespace-labels",
        "labels of the namespace decide on Pod Security, level and who may connect",
        IsolationLevel.L1,
        Request("PATCH", f"/api/v1/namespaces/{namespace}", labels),
        twin,
    )
    opened: dict[str, Any] = {
        "kind": "NetworkPolicy",
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    yield Attack(
        "own-network-policy",
        "policies add up: one that allows everything undoes the default deny",
        IsolationLevel.L2,
        _create(scene, "networking.k8s.io/v1", "networkpolicies", opened),
        twin,
    )
    ours = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{DENY_ALL}"
    yield Attack(
        "network-policy-removal",
        "without the default deny everything that no other policy selects is open",
        IsolationLevel.L2,
        # With a body, the API server takes no notice of a dry run that is asked for in the query.
        Request("DELETE", ours, {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}),
        twin,
    )
    yield Attack(
        "quota-edit",
        "the tenant raises its own quota",
        IsolationLevel.L1,
        _create(scene, "v1", "resourcequotas", {"kind": "ResourceQuota", "spec": {"hard": {"pods": "1000"}}}),
        twin,
    )
