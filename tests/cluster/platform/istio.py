"""Istio as the product installs it, by its own Helm charts, with a plain Envoy in place of Istio's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tenancy.platform import install as product
from tenancy.platform.helm import Charts, Helm
from tenancy.platform.install import Istio
from tenancy.platform.sources import merge_values, read_values
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.platform.rollout import rollout

if TYPE_CHECKING:
    from tests.cluster.platform.kubectl import Kubectl

NAMESPACE = "istio-system"
CHARTS = LAYOUT.built_by("istio") / "charts"
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}

PILOT_VALUES = {
    "global": {
        "hub": "dev.local",
        "tag": "test",
        "imagePullPolicy": "IfNotPresent",
        "proxy": {"resources": SMALL},
    },
    # These filters are in Istio's own Envoy only.
    "pilot": {
        "env": {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"},
        "resources": SMALL,
        "autoscaleEnabled": False,
    },
    "telemetry": {"enabled": False},
    "meshConfig": {"accessLogFile": "/dev/stdout"},
}
GATEWAY_VALUES = {
    "labels": {"istio": "ingressgateway"},
    # The injected image has no tag at admission, so that the default would be Always.
    "imagePullPolicy": "IfNotPresent",
    "service": {
        "type": "ClusterIP",
        "ports": [
            {"name": "status-port", "port": 15021, "targetPort": 15021},
            {"name": "http2", "port": 80, "targetPort": 80},
            {"name": "https", "port": 443, "targetPort": 443},
        ],
    },
    "autoscaling": {"enabled": False},
    "resources": SMALL,
}


def install_istio(kubectl: Kubectl) -> None:
    """The product's own installation, with these values over its own."""
    home = Path("/run/helm")
    environment = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    helm = Helm(str(LAYOUT.built_by("helm") / "helm"), kubectl.kubeconfig, environment=environment)
    values = CHECKOUT / "manifests" / "platform" / "istio"
    istio = Istio(
        Charts(str(CHARTS)),
        istiod=merge_values(read_values(values / "istiod.yaml"), PILOT_VALUES),
        ingress=merge_values(read_values(values / "gateway.yaml"), GATEWAY_VALUES),
    )
    product.install_istio(rollout(kubectl), helm, istio, NAMESPACE)
