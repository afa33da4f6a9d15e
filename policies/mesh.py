"""Istio's policies: requests that the gateways refuse, and, with sidecars, the permitted callers of tenants' pods.

Istio identifies callers only with mutual TLS. The gateways receive plain HTTP from inside the cluster, so their
policies match ports, hosts and headers; NetworkPolicies (`policies.platform_network`) decide who may connect at all.
"""

from typing import Any

from policies.labels import TENANT
from policies.metadata import platform_metadata, tenant_metadata
from policies.model import IsolationLevel, Manifest, Platform, TenantSpec
from policies.ports import AUTOSCALER_METRICS, AUTOSCALER_STATS, CALLS, LOCAL_GATEWAY, METRICS
from policies.revision_field import ENVOY_VALUE, FIELD
from policies.sandbox import sandbox_of

# Of namespaces, and of pods: a pod's label overrides that of its namespace.
INJECTION_LABEL, POD_INJECTION_LABEL = "istio-injection", "sidecar.istio.io/inject"
# On pods that Istio's proxy was put into, by its injector.
MESHED_POD = {"security.istio.io/tlsMode": "istio"}

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


def has_sidecars(spec: TenantSpec, platform: Platform, *, tenant_code: bool = False) -> bool:
    """Whether pods of the tenant get Istio's proxy: from L3 on, and not in the sandbox.

    A sandbox has a network stack of its own, which istio-cni's rules in the pod's network namespace do not redirect.
    """
    sandboxed = sandbox_of(spec.isolation, platform, tenant_code=tenant_code) is not None
    return platform.sidecars and spec.isolation >= IsolationLevel.L3 and not sandboxed


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
    pods = {TENANT: str(spec.namespace)}
    callers = [] if spec.suspended is not None else [_calls(platform)]
    metrics = _allow([platform.knative_namespace], (AUTOSCALER_METRICS,))
    # The kubelet's probes and its drain are no exception: Istio's proxy takes them at a port of its own.
    return (
        _strict(tenant_metadata(spec, "osfaas"), pods),
        _allowed(tenant_metadata(spec, "osfaas-callers"), pods, [*callers, metrics]),
    )


def build_knative_mesh(platform: Platform) -> tuple[Manifest, ...]:
    """Callers of activator and autoscaler by identity: the activator calls any tenant that a request names.

    Their own metrics stay open to all who may connect, because a Prometheus outside the mesh has no identity.
    """
    if not platform.sidecars:
        return ()
    stats = _allow([platform.knative_namespace], (AUTOSCALER_STATS,))
    metrics = {"to": [{"operation": {"ports": [str(METRICS)]}}]}
    objects: list[Manifest] = []
    for app, rule in (("activator", _calls(platform)), ("autoscaler", stats)):
        metadata, pods = platform_metadata(f"osfaas-{app}", platform.knative_namespace), {"app": app}
        objects += [_strict(metadata, pods, METRICS), _allowed(metadata, pods, [rule, metrics])]
    return tuple(objects)


def _calls(platform: Platform) -> dict[str, Any]:
    return _allow([platform.istio_namespace, platform.knative_namespace], CALLS)


def _strict(metadata: dict[str, Any], pods: dict[str, str], *plain: int) -> Manifest:
    """Mutual TLS is required at each port of the pods but the plain ones."""
    ports = {"portLevelMtls": {str(port): {"mode": "PERMISSIVE"} for port in plain}} if plain else {}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": pods}, "mtls": {"mode": "STRICT"}, **ports},
    }


def _allowed(metadata: dict[str, Any], pods: dict[str, str], rules: list[dict[str, Any]]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": pods}, "action": "ALLOW", "rules": rules},
    }


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
