"""Istio's part: what the gateways' Envoy refuses, and, where tenants' pods have sidecars, who may call those.

Istio matches policies on what it knows for certain only with mutual TLS. The gateways' Envoy hears plain HTTP from
inside the cluster, so its policies speak of ports, hosts and headers; who may connect there at all is decided by
NetworkPolicies (`policies.platform_network`).
"""

from typing import Any

from policies.labels import TENANT
from policies.metadata import platform_metadata, tenant_metadata
from policies.model import IsolationLevel, Manifest, Platform, TenantSpec
from policies.ports import AUTOSCALER_METRICS, CALLS, DRAIN, LOCAL_GATEWAY

INJECTION_LABEL = "istio-injection"

# The first two choose a tenant at the activator. The next three make queue-proxy answer without asking the function.
# The last makes it rewrite the function's Host. K-Network-Probe is not among them: Knative's Istio controller sends
# it through these gateways, and our gateway never lets it pass.
FORGED_HEADERS = (
    "Knative-Serving-Namespace",
    "Knative-Serving-Revision",
    "Knative-Activator-Probe",
    "Knative-Autoscaling-Probe",
    "K-Kubelet-Probe",
    "K-Original-Host",
)
# Names that exist inside the cluster only.
_INNER_HOSTS = ("*.svc", "*.svc:*", "*.svc.cluster.local", "*.svc.cluster.local:*")


def has_sidecars(spec: TenantSpec, platform: Platform) -> bool:
    """Whether the tenant's pods get Istio's proxy."""
    return platform.sidecars and spec.isolation >= IsolationLevel.L3


def build_gateway_authorization(platform: Platform) -> tuple[Manifest, ...]:
    """What the shared gateways refuse, whoever asks."""
    forged = [{"when": [{"key": f"request.headers[{header}]", "values": ["*"]}]} for header in FORGED_HEADERS]
    probes = {"when": [{"key": "request.headers[User-Agent]", "values": ["kube-probe/*"]}]}
    # Should a Knative Service lose its cluster-local visibility, its inner name still is not served outside.
    inner = {"to": [{"operation": {"hosts": list(_INNER_HOSTS), "notPorts": [str(LOCAL_GATEWAY)]}}]}
    return (
        _deny_at_gateways(platform, "osfaas-forged-headers", [*forged, probes]),
        _deny_at_gateways(platform, "osfaas-inner-hosts", [inner]),
    )


def build_tenant_mesh(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """Mutual TLS only, and callers by their SPIFFE identity; nothing where the tenant's pods have no sidecars."""
    if not has_sidecars(spec, platform):
        return ()
    pods = {"matchLabels": {TENANT: str(spec.namespace)}}
    # The kubelet, which is in no mesh, drains pods through this port; NetworkPolicies keep everybody else away from it.
    strict = {"selector": pods, "mtls": {"mode": "STRICT"}, "portLevelMtls": {str(DRAIN): {"mode": "PERMISSIVE"}}}
    callers = [] if spec.suspended is not None else _callers(platform)
    return (
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": tenant_metadata(spec, "osfaas"),
            "spec": strict,
        },
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": tenant_metadata(spec, "osfaas-callers"),
            "spec": {"selector": pods, "action": "ALLOW", "rules": [*callers, *_tending(platform)]},
        },
    )


def _callers(platform: Platform) -> list[dict[str, Any]]:
    return [_allow([platform.istio_namespace, platform.knative_namespace], CALLS)]


def _tending(platform: Platform) -> list[dict[str, Any]]:
    """The autoscaler's look at the load, and the kubelet's drain, which has no identity."""
    drain = {"to": [{"operation": {"ports": [str(DRAIN)]}}]}
    return [_allow([platform.knative_namespace], (AUTOSCALER_METRICS,)), drain]


def _allow(namespaces: list[str], ports: tuple[int, ...]) -> dict[str, Any]:
    return {
        "from": [{"source": {"namespaces": namespaces}}],
        "to": [{"operation": {"ports": [str(port) for port in ports]}}],
    }


def _deny_at_gateways(platform: Platform, name: str, rules: list[dict[str, Any]]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": platform_metadata(name, platform.istio_namespace),
        "spec": {
            "selector": {"matchLabels": dict(platform.ingress_labels)},
            "action": "DENY",
            "rules": rules,
        },
    }
