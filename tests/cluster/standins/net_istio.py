"""Stand-in for net-istio: makes an Istio VirtualService of each Knative Ingress and reports it ready.

Production uses net-istio, which is not served by this machine's registries. Unlike it, the stand-in does not probe
the gateways before it reports an Ingress ready, and knows nothing of TLS.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.cluster.standins.gateways import INGRESS_GATEWAY, ISTIO, LOCAL_GATEWAY, SERVING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLASS = "istio.ingress.networking.knative.dev"
_CLASS_KEY = "networking.knative.dev/ingress.class"
_KNATIVE = ("networking.internal.knative.dev", "v1alpha1")
_FIELD_MANAGER = "net-istio-stand-in"
_CONDITIONS = ("LoadBalancerReady", "NetworkConfigured", "Ready")


def build_virtual_service(ingress: dict[str, Any]) -> dict[str, Any]:
    """One route per path of each rule; the shares of traffic become weights."""
    metadata = ingress["metadata"]
    rules = ingress["spec"].get("rules", [])
    gateways = sorted({_gateway_of(rule) for rule in rules})
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": f"{metadata['name']}-ingress",
            "namespace": metadata["namespace"],
            "labels": {"networking.internal.knative.dev/ingress": metadata["name"]},
            "ownerReferences": [
                {
                    "apiVersion": ingress["apiVersion"],
                    "kind": ingress["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "gateways": gateways,
            "hosts": sorted({host for rule in rules for host in rule["hosts"]}),
            "http": [_route(rule, path) for rule in rules for path in rule["http"]["paths"]],
        },
    }


def build_status(ingress: dict[str, Any]) -> dict[str, Any]:
    """What Knative waits for before it calls a route ready."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    local = f"{LOCAL_GATEWAY}.{ISTIO}.svc.cluster.local"
    public = f"istio-ingressgateway.{ISTIO}.svc.cluster.local"
    return {
        "observedGeneration": ingress["metadata"]["generation"],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in _CONDITIONS],
        "privateLoadBalancer": {"ingress": [{"domainInternal": local}]},
        "publicLoadBalancer": {"ingress": [{"domainInternal": public}]},
    }


def _gateway_of(rule: dict[str, Any]) -> str:
    return f"{SERVING}/{LOCAL_GATEWAY if rule.get('visibility') == 'ClusterLocal' else INGRESS_GATEWAY}"


def _route(rule: dict[str, Any], path: dict[str, Any]) -> dict[str, Any]:
    matches = [
        {
            "authority": {"regex": f"^{host.replace('.', chr(92) + '.')}(?::\\d{{1,5}})?$"},
            "gateways": [_gateway_of(rule)],
            **({"uri": {"prefix": path["path"]}} if path.get("path") else {}),
        }
        for host in rule["hosts"]
    ]
    shares = [
        {
            "destination": {
                "host": f"{split['serviceName']}.{split['serviceNamespace']}.svc.cluster.local",
                "port": {"number": int(split["servicePort"])},
            },
            "weight": split.get("percent", 100),
            "headers": {"request": {"set": split.get("appendHeaders") or {}}},
        }
        for split in path["splits"]
    ]
    headers = {"headers": {"request": {"set": path["appendHeaders"]}}} if path.get("appendHeaders") else {}
    return {"match": matches, "route": shares, **headers}


def reconcile(api: client.CustomObjectsApi, ingress: dict[str, Any]) -> None:
    """Writes the VirtualService, then the status; an Ingress already reported is left alone."""
    metadata = ingress["metadata"]
    annotations = metadata.get("annotations") or {}
    if annotations.get(_CLASS_KEY, _CLASS) != _CLASS or metadata.get("deletionTimestamp"):
        return
    if (ingress.get("status") or {}).get("observedGeneration") == metadata["generation"]:
        return
    service = build_virtual_service(ingress)
    api.patch_namespaced_custom_object(
        "networking.istio.io", "v1", metadata["namespace"], "virtualservices", service["metadata"]["name"], service,
        field_manager=_FIELD_MANAGER, force=True, _content_type="application/apply-patch+yaml",
    )  # fmt: skip
    api.patch_namespaced_custom_object_status(
        *_KNATIVE, metadata["namespace"], "ingresses", metadata["name"], {"status": build_status(ingress)},
        _content_type="application/merge-patch+json",
    )  # fmt: skip


def main() -> None:
    """Lists and watches for ever; a broken watch starts anew with a list."""
    config.load_kube_config(sys.argv[1])  # type: ignore[no-untyped-call]
    api = client.CustomObjectsApi()
    while True:
        try:
            for event in watch_ingresses(api):
                if event["type"] in {"ADDED", "MODIFIED"}:
                    reconcile(api, event["object"])
        except (ApiException, HTTPError, OSError) as problem:
            print(f"starting anew: {problem}", flush=True)
            time.sleep(0.5)


def watch_ingresses(api: client.CustomObjectsApi) -> Iterator[dict[str, Any]]:
    """All that there are, then each that changes; ends after a while."""
    watcher = watch.Watch()  # type: ignore[no-untyped-call]
    listing = api.list_cluster_custom_object
    yield from watcher.stream(listing, *_KNATIVE, "ingresses", timeout_seconds=300)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
