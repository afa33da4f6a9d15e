"""Istio by its own Helm charts, with a plain Envoy in place of Istio's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.cluster.commands import run
from tests.cluster.layout import LAYOUT
from tests.cluster.progress import step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.platform.kubectl import Kubectl

NAMESPACE = "istio-system"
_CHARTS = LAYOUT.built_by("istio") / "charts"
_SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}

_PILOT_VALUES = {
    "global": {
        "hub": "dev.local",
        "tag": "test",
        "imagePullPolicy": "IfNotPresent",
        "proxy": {"resources": _SMALL},
    },
    # These filters are in Istio's own Envoy only.
    "pilot": {
        "env": {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"},
        "resources": _SMALL,
        "autoscaleEnabled": False,
    },
    "telemetry": {"enabled": False},
    "meshConfig": {"accessLogFile": "/dev/stdout"},
}
_GATEWAY_VALUES = {
    "labels": {"istio": "ingressgateway"},
    # The injected image has no tag at admission, so that the default would be Always.
    "imagePullPolicy": "IfNotPresent",
    "service": {
        "type": "ClusterIP",
        "ports": [
            {"name": "status-port", "port": 15021, "targetPort": 15021},
            {"name": "http2", "port": 80, "targetPort": 80},
        ],
    },
    "autoscaling": {"enabled": False},
    "resources": _SMALL,
}


def install_istio(kubectl: Kubectl) -> None:
    """The control plane, then the ingress gateway, whose pod it completes at admission."""
    with step("Istio"):
        _chart(kubectl, "istio-base", "base", {})
        _chart(kubectl, "istiod", "istio-control/istio-discovery", _PILOT_VALUES)
        kubectl.wait_for_deployments(NAMESPACE)
        _chart(kubectl, "istio-ingressgateway", "gateway", _GATEWAY_VALUES)
        kubectl.wait_for_deployments(NAMESPACE)


def _chart(kubectl: Kubectl, release: str, chart: str, values: Mapping[str, object]) -> None:
    helm: list[str | Path] = [LAYOUT.built_by("helm") / "helm", f"--kubeconfig={kubectl.kubeconfig}"]
    home = Path("/run/helm")
    environment = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    run(
        [*helm, "install", release, _CHARTS / chart, "-n", NAMESPACE, "--create-namespace", "-f", "-"],
        environment=environment,
        stdin=yaml.safe_dump(values),
        timeout_seconds=180,
    )
