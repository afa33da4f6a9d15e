"""Istio's policies: requests that the gateways refuse, and, with sidecars, the permitted callers of tenants' pods.

Istio identifies callers only with mutual TLS. The gateways receive plain HTTP from inside the cluster, so their
policies match ports, hosts and headers; NetworkPolicies (`policies.platform_network`) decide who may connect at all.
"""

from typing import Any

from policies.labels import TENANT
from policies.metadata import platform_metadata, tenant_metadata
from policies.model import IsolationLevel, Manifest, Platform, TenantSpec
from policies.ports import AUTOSCALER_METRICS, CALLS, DRAIN, LOCAL_GATEWAY
from policies.revision_field import ENVOY_VALUE, FIELD

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
# Names that exist only inside the cluster.
_INNER_HOSTS = ("*.svc", "*.svc:*", "*.svc.cluster.local", "*.svc.cluster.local:*")


def has_sidecars(spec: TenantSpec, platform: Platform) -> bool:
    """Whether the tenant's pods get Istio's proxy."""
    return platform.sidecars and spec.isolation >= IsolationLevel.L3


def build_gateway_authorization(platform: Platform) -> tuple[Manifest, ...]:
    """Requests that the shared gateways refuse from any client."""
    forged = [{"when": [{"key": f"request.headers[{header}]", "values": ["*"]}]} for header in FORGED_HEADERS]
    probes = {"when": [{"key": "request.headers[User-Agent]", "values": ["kube-probe/*"]}]}
    # If a Knative Service loses its cluster-local visibility, its internal name is still not served outside.
    inner = {"to": [{"operation": {"hosts": list(_INNER_HOSTS), "notPorts": [str(LOCAL_GATEWAY)]}}]}
    return (
        _deny_at_gateways(platform, "osfaas-forged-headers", [*forged, probes]),
        _deny_at_gateways(platform, "osfaas-inner-hosts", [inner]),
    )


def build_revision_field(platform: Platform) -> Manifest:
    """Lets the local gateway say in each reply which revision it came from, whatever a function says in that field."""
    header = {"header": {"key": FIELD, "value": ENVOY_VALUE}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    patch = {
        "applyTo": "ROUTE_CONFIGURATION",
        "match": {"context": "GATEWAY", "routeConfiguration": {"portNumber": LOCAL_GATEWAY}},
        "patch": {"operation": "MERGE", "value": {"response_headers_to_add": [header]}},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": platform_metadata("osfaas-revision-field", platform.istio_namespace),
        "spec": {"workloadSelector": {"labels": dict(platform.ingress_labels)}, "configPatches": [patch]},
    }


def build_tenant_mesh(spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """Strict mutual TLS, and callers by SPIFFE identity; empty if the tenant's pods have no sidecars."""
    if not has_sidecars(spec, platform):
        return ()
    pods = {"matchLabels": {TENANT: str(spec.namespace)}}
    # The kubelet, which is outside the mesh, drains pods through this port; NetworkPolicies block all others.
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
            "spec": {"selector": pods, "action": "ALLOW", "rules": [*callers, *_maintenance(platform)]},
        },
    )


def _callers(platform: Platform) -> list[dict[str, Any]]:
    return [_allow([platform.istio_namespace, platform.knative_namespace], CALLS)]


def _maintenance(platform: Platform) -> list[dict[str, Any]]:
    """The autoscaler's metrics, and the kubelet's drain, which has no identity."""
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
