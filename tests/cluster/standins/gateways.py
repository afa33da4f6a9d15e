"""Stand-in for the manifests of net-istio: two Gateways on Istio's ingress pods, and the local gateway's Service."""

from __future__ import annotations

from typing import Any

SERVING = "knative-serving"
ISTIO = "istio-system"
LOCAL_GATEWAY = "knative-local-gateway"
INGRESS_GATEWAY = "knative-ingress-gateway"
PUBLIC_SERVICE = "istio-ingressgateway"
_PODS = {"istio": "ingressgateway"}


def knative_gateways() -> tuple[dict[str, Any], ...]:
    """What net-istio installs once."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        # As in net-istio's own manifest. Without it Istio has two Services with port 80 on the same pods to choose
        # from, and may put the public names of port 80 onto the local gateway's 8081.
        "metadata": {
            "name": LOCAL_GATEWAY,
            "namespace": ISTIO,
            "labels": {"experimental.istio.io/disable-gateway-port-translation": "true"},
        },
        "spec": {"selector": _PODS, "ports": [{"name": "http2", "port": 80, "targetPort": 8081}]},
    }
    return _gateway(INGRESS_GATEWAY, 80), _gateway(LOCAL_GATEWAY, 8081), service


def is_local(rule: dict[str, Any]) -> bool:
    """Whether a rule of an Ingress is for callers inside the cluster only."""
    return bool(rule.get("visibility") == "ClusterLocal")


def service_of(rule: dict[str, Any]) -> str:
    """The Service, in Istio's namespace, of the gateway that a rule of an Ingress belongs to."""
    return LOCAL_GATEWAY if is_local(rule) else PUBLIC_SERVICE


def _gateway(name: str, port: int) -> dict[str, Any]:
    server = {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": SERVING},
        "spec": {"selector": _PODS, "servers": [server]},
    }
