"""Attacks over the Kubernetes API by a user with the role `edit` in the tenant's namespace. Pure.

This product grants tenants no such access, but an operator may. `edit` is the role that Kubernetes intends for people
who run workloads, and Knative extends it. Every request is a server-side dry run, so a breach changes nothing.
"""

from collections.abc import Iterator
from typing import Any

from policies.labels import KNATIVE_VISIBILITY
from policies.model import IsolationLevel, Manifest
from policies.network import DENY_ALL
from tenancy.isolation.attack import Attack, Request
from tenancy.isolation.targets import Context

_NAME = "osfaas-verify"
_ADMISSION = "ValidatingAdmissionPolicy"
_NO_RIGHT = " cannot "


def tenant_user_attacks(context: Context) -> Iterator[Attack]:
    """Every attack of the user except creating pods (`tenant_pod_attacks`)."""
    yield from _names_and_routes(context)
    yield from _policies(context)


def _create(context: Context, api: str, plural: str, body: Manifest, *refused_with: str) -> Request:
    prefix = f"/api/{api}" if "/" not in api else f"/apis/{api}"
    metadata = {"name": _NAME, "namespace": context.tenant.namespace, **body.pop("metadata", {})}
    path = f"{prefix}/namespaces/{context.tenant.namespace}/{plural}"
    manifest = {"apiVersion": api, "metadata": metadata, **body}
    return Request("POST", path, manifest, refused_with or (_ADMISSION, _NO_RIGHT))


def _image(context: Context) -> str:
    """Any image of the platform; no container is ever started from it."""
    return next((function.image for function in context.platform.functions.values()), "example.invalid/none")


def harmless(context: Context) -> Request:
    """A request that the same user is allowed to send: the control of every request that is not about pods."""
    return _create(context, "v1", "configmaps", {"kind": "ConfigMap", "data": {"a": "b"}})


def _names_and_routes(context: Context) -> Iterator[Attack]:
    victim, level = context.victim, IsolationLevel.L1
    gateway = f"knative-local-gateway.{context.platform.istio_namespace}.svc.cluster.local"
    control = harmless(context)
    external: dict[str, Any] = {"kind": "Service", "spec": {"type": "ExternalName", "externalName": gateway}}
    yield Attack(
        "external-name",
        "an ExternalName Service gives a name in this namespace to an address outside it",
        level,
        _create(context, "v1", "services", external),
        control,
    )
    reference = {"name": "checksums", "kind": "Service", "apiVersion": "serving.knative.dev/v1"}
    mapping: dict[str, Any] = {
        "kind": "DomainMapping",
        "metadata": {"name": "api.osfaas-verify.example.org"},
        "spec": {"ref": {**reference, "namespace": context.tenant.namespace}},
    }
    yield Attack(
        "domain-mapping",
        "a DomainMapping takes over a Host at the shared ingress; Knative itself rejects only cluster-internal names",
        level,
        _create(context, "serving.knative.dev/v1beta1", "domainmappings", mapping),
        control,
    )
    hijack: dict[str, Any] = {
        "kind": "VirtualService",
        "spec": {
            "hosts": [victim.host],
            "gateways": [f"{context.platform.knative_namespace}/knative-local-gateway"],
            "http": [{"route": [{"destination": {"host": f"thief.{context.tenant.namespace}.svc.cluster.local"}}]}],
        },
    }
    yield Attack(
        "virtual-service-hijack",
        "a VirtualService on the shared gateway takes over another tenant's Host",
        level,
        _create(context, "networking.istio.io/v1", "virtualservices", hijack),
        control,
    )
    # Set explicitly: without the label, admission sets the right visibility.
    public: dict[str, Any] = {
        "kind": "Service",
        "metadata": {"labels": {KNATIVE_VISIBILITY: ""}},
        "spec": {"template": {"spec": {"containers": [{"image": _image(context), "imagePullPolicy": "IfNotPresent"}]}}},
    }
    yield Attack(
        "public-visibility",
        "a Knative Service without cluster-local visibility answers at the public gateway, past identity and limits",
        level,
        _create(context, "serving.knative.dev/v1", "services", public),
        control,
    )


def _policies(context: Context) -> Iterator[Attack]:
    namespace, control = context.tenant.namespace, harmless(context)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    yield Attack(
        "namespace-labels",
        "labels of the namespace determine Pod Security, isolation level and permitted clients",
        IsolationLevel.L1,
        Request("PATCH", f"/api/v1/namespaces/{namespace}", labels),
        control,
    )
    opened: dict[str, Any] = {
        "kind": "NetworkPolicy",
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    yield Attack(
        "own-network-policy",
        "policies are additive: one that allows everything cancels the default deny",
        IsolationLevel.L2,
        _create(context, "networking.k8s.io/v1", "networkpolicies", opened),
        control,
    )
    ours = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{DENY_ALL}"
    yield Attack(
        "network-policy-removal",
        "without the default deny, pods that no other policy selects are open",
        IsolationLevel.L2,
        # The API server ignores `dryRun` in the query of a DELETE with a body.
        Request("DELETE", ours, {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}),
        control,
    )
    yield Attack(
        "quota-edit",
        "the tenant raises its own quota",
        IsolationLevel.L1,
        _create(context, "v1", "resourcequotas", {"kind": "ResourceQuota", "spec": {"hard": {"pods": "1000"}}}),
        control,
    )
