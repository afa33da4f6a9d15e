"""Stand-in for net-istio: makes an Istio VirtualService of each Knative Ingress and reports it ready.

Production uses net-istio, which is not served by this machine's registries. Like it, the stand-in probes the gateways
before it reports an Ingress ready; unlike it, it knows nothing of TLS.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.cluster.standins.gateway_probes import (
    HASH_HEADER,
    HASH_OVERRIDE,
    addresses_of,
    answers_with,
    hash_of,
    wanted_probes,
)
from tests.cluster.standins.gateways import INGRESS_GATEWAY, ISTIO, LOCAL_GATEWAY, PUBLIC_SERVICE, SERVING, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLASS = "istio.ingress.networking.knative.dev"
_CLASS_KEY = "networking.knative.dev/ingress.class"
_KNATIVE = ("networking.internal.knative.dev", "v1alpha1")
_FIELD_MANAGER = "net-istio-stand-in"
_CONDITIONS = ("LoadBalancerReady", "NetworkConfigured", "Ready")
# Routes are probed side by side; each until it is there, or its Ingress has changed or gone.
_PROBED_AT_ONCE = 32
_PROBE_EVERY_SECONDS = 0.2
# Two reads of the API server for each Ingress that waits; its addresses change when a gateway is rolled, no sooner.
_GATEWAYS_READ_EVERY_SECONDS = 2.0
_PROBE_AT_MOST_SECONDS = 600.0


def build_virtual_service(ingress: dict[str, Any]) -> dict[str, Any]:
    """One route per path of each rule, and before it its twin for probes; the shares of traffic become weights."""
    metadata = ingress["metadata"]
    rules = ingress["spec"].get("rules", [])
    gateways = sorted({_gateway_of(rule) for rule in rules})
    paths = [(rule, path) for rule in rules for path in rule["http"]["paths"]]
    version = hash_of(ingress)
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
            "http": [_probe_route(*each, version) for each in paths] + [_route(*each) for each in paths],
        },
    }


def build_status(ingress: dict[str, Any]) -> dict[str, Any]:
    """What Knative waits for before it calls a route ready."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    local = f"{LOCAL_GATEWAY}.{ISTIO}.svc.cluster.local"
    public = f"{PUBLIC_SERVICE}.{ISTIO}.svc.cluster.local"
    return {
        "observedGeneration": ingress["metadata"]["generation"],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in _CONDITIONS],
        "privateLoadBalancer": {"ingress": [{"domainInternal": local}]},
        "publicLoadBalancer": {"ingress": [{"domainInternal": public}]},
    }


def _gateway_of(rule: dict[str, Any]) -> str:
    return f"{SERVING}/{LOCAL_GATEWAY if is_local(rule) else INGRESS_GATEWAY}"


def _probe_route(rule: dict[str, Any], path: dict[str, Any], version: str) -> dict[str, Any]:
    route = _route(rule, path)
    for match in route["match"]:
        match["headers"] = {HASH_HEADER: {"exact": HASH_OVERRIDE}}
    appended = (path.get("appendHeaders") or {}) | {HASH_HEADER: version}
    return route | {"headers": {"request": {"set": appended}}}


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


class Reconciler:
    """Writes the VirtualService of an Ingress, and its status as soon as every gateway leads by it."""

    def __init__(self, api: client.ApiClient) -> None:
        self._custom = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._pool = ThreadPoolExecutor(_PROBED_AT_ONCE)
        self._lock = Lock()
        # By the uid of the Ingress: the generation that counts. Another one, or none, ends the probing.
        self._newest: dict[str, int] = {}

    def saw(self, ingress: dict[str, Any]) -> None:
        """An Ingress is there or has changed; one that is already reported is left alone."""
        metadata = ingress["metadata"]
        annotations = metadata.get("annotations") or {}
        if annotations.get(_CLASS_KEY, _CLASS) != _CLASS or metadata.get("deletionTimestamp"):
            return self.lost(ingress)
        if (ingress.get("status") or {}).get("observedGeneration") == metadata["generation"]:
            return None
        with self._lock:
            if self._newest.get(metadata["uid"]) == metadata["generation"]:
                return None
            self._newest[metadata["uid"]] = metadata["generation"]
        self._pool.submit(self._reconcile, ingress)
        return None

    def lost(self, ingress: dict[str, Any]) -> None:
        """An Ingress has gone: nobody waits for its routes."""
        with self._lock:
            self._newest.pop(ingress["metadata"]["uid"], None)

    def _reconcile(self, ingress: dict[str, Any]) -> None:
        """Tries until it is done or overtaken; a hindrance (a webhook not there yet) is met by trying again."""
        metadata = ingress["metadata"]
        deadline = time.monotonic() + _PROBE_AT_MOST_SECONDS
        while self._is_newest(ingress) and time.monotonic() < deadline:
            try:
                self._write(ingress)
                if self._wait(ingress, deadline):
                    self._report(ingress)
                    break
            except (ApiException, HTTPError, OSError) as problem:
                print(f"trying again: {metadata['namespace']}/{metadata['name']}: {problem}", flush=True)
                time.sleep(0.5)
        with self._lock:
            if self._is_newest(ingress):
                self._newest.pop(metadata["uid"])

    def _is_newest(self, ingress: dict[str, Any]) -> bool:
        return self._newest.get(ingress["metadata"]["uid"]) == int(ingress["metadata"]["generation"])

    def _write(self, ingress: dict[str, Any]) -> None:
        service = build_virtual_service(ingress)
        self._custom.patch_namespaced_custom_object(
            "networking.istio.io", "v1", ingress["metadata"]["namespace"], "virtualservices",
            service["metadata"]["name"], service,
            field_manager=_FIELD_MANAGER, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    def _wait(self, ingress: dict[str, Any], deadline: float) -> bool:
        """Whether every gateway leads by this version, as long as it is the newest."""
        version, left = hash_of(ingress), list(wanted_probes(ingress))
        gateways: dict[str, tuple[tuple[str, int], ...]] = {}
        read = -_GATEWAYS_READ_EVERY_SECONDS
        while self._is_newest(ingress) and time.monotonic() < deadline:
            if time.monotonic() - read > _GATEWAYS_READ_EVERY_SECONDS:
                gateways = {service: self._gateway(service) for service in {service for service, _, _ in left}}
                read = time.monotonic()
            left = [
                (service, host, path)
                for service, host, path in left
                if not gateways[service]
                or not all(answers_with(address, host, path, version) for address in gateways[service])
            ]
            if not left:
                return True
            time.sleep(_PROBE_EVERY_SECONDS)
        return False

    def _gateway(self, service: str) -> tuple[tuple[str, int], ...]:
        """The addresses behind port 80 of a gateway's Service."""
        plain = self._core.api_client.sanitize_for_serialization
        ports = plain(self._core.read_namespaced_service(service, ISTIO))["spec"]["ports"]
        name = next((port.get("name", "") for port in ports if port["port"] == 80), "")
        return addresses_of(plain(self._core.read_namespaced_endpoints(service, ISTIO)), name)

    def _report(self, ingress: dict[str, Any]) -> None:
        self._custom.patch_namespaced_custom_object_status(
            *_KNATIVE, ingress["metadata"]["namespace"], "ingresses", ingress["metadata"]["name"],
            {"status": build_status(ingress)}, _content_type="application/merge-patch+json",
        )  # fmt: skip


def main() -> None:
    """Lists and watches for ever; a broken watch starts anew with a list."""
    config.load_kube_config(sys.argv[1])  # type: ignore[no-untyped-call]
    api = client.ApiClient()
    reconciler = Reconciler(api)
    while True:
        try:
            for event in watch_ingresses(client.CustomObjectsApi(api)):
                if event["type"] in {"ADDED", "MODIFIED"}:
                    reconciler.saw(event["object"])
                elif event["type"] == "DELETED":
                    reconciler.lost(event["object"])
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
