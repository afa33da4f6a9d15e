"""Knative with Istio's proxy beside its activator and autoscaler, which call tenants' pods."""

from collections.abc import Iterable

from policies.mesh import POD_INJECTION_LABEL
from policies.model import Manifest, Platform

# Its webhook is called by the API server, and its controller calls no pod.
CALLERS = ("activator", "autoscaler")


def knative_settings(platform: Platform) -> tuple[Manifest, ...]:
    """Knative reaches tenants' pods by their Services: to their addresses, Istio's proxy knows no mutual TLS."""
    if not platform.sidecars:
        return ()
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config-network", "namespace": platform.knative_namespace},
        "data": {"mesh-compatibility-mode": "enabled"},
    }
    return (config,)


def with_sidecars(manifests: Iterable[Manifest], platform: Platform) -> list[Manifest]:
    """The manifests, with the label for Istio's proxy on the pods of activator and autoscaler."""
    return [_injected(item) if platform.sidecars and _calls(item, platform) else item for item in manifests]


def _calls(item: Manifest, platform: Platform) -> bool:
    metadata = item["metadata"]
    place = metadata.get("namespace") == platform.knative_namespace
    return item["kind"] == "Deployment" and place and metadata["name"] in CALLERS


def _injected(deployment: Manifest) -> Manifest:
    template = deployment["spec"]["template"]
    metadata = template.get("metadata", {})
    labels = {**metadata.get("labels", {}), POD_INJECTION_LABEL: "true"}
    template = {**template, "metadata": {**metadata, "labels": labels}}
    return {**deployment, "spec": {**deployment["spec"], "template": template}}
