"""The Knative Service of one function of a tenant."""

from typing import Any

from policies.access import SERVICE_ACCOUNT
from policies.labels import CALLABLE, CLUSTER_LOCAL, ISOLATION, KNATIVE_VISIBILITY
from policies.mesh import has_sidecars
from policies.metadata import tenant_labels, tenant_metadata
from policies.model import CatalogueFunction, Manifest, Platform, TenantSpec
from policies.quota import pods_that_fit

# The first probe comes before any process is ready. By default the next one follows after ten seconds, which would
# delay each cold start.
READINESS = {"periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 5}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def build_function(spec: TenantSpec, platform: Platform, function: CatalogueFunction) -> Manifest:
    """The Knative Service: reachable only from inside the cluster, scaled to zero when idle."""
    metadata = tenant_metadata(spec, function.name)
    metadata["labels"] |= {KNATIVE_VISIBILITY: CLUSTER_LOCAL, CALLABLE: "true" if function.callable else "false"}
    # The isolation of a pod is decided when it is created: another level needs another revision.
    labels = {**tenant_labels(spec), ISOLATION: spec.isolation.value}
    template = {
        "metadata": {"labels": labels, "annotations": _annotations(spec, platform, function)},
        "spec": _pod(function),
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"template": template},
    }


def _annotations(spec: TenantSpec, platform: Platform, function: CatalogueFunction) -> dict[str, str]:
    scale = {
        "autoscaling.knative.dev/min-scale": "0",
        "autoscaling.knative.dev/max-scale": str(pods_that_fit(function, spec.limits)),
    }
    if function.window_seconds is not None:
        scale["autoscaling.knative.dev/window"] = f"{function.window_seconds}s"
    return {**scale, **sidecar_annotations(platform, proxy=has_sidecars(spec, platform))}


def sidecar_annotations(platform: Platform, *, proxy: bool) -> dict[str, str]:
    """The resources of queue-proxy, and of Istio's proxy if there is one, in a pod of a revision."""
    # A quota refuses pods whose queue-proxy has no resources; the LimitRange would add them; this sets them explicitly.
    sidecar = "queue.sidecar.serving.knative.dev"
    memory = f"{platform.queue_proxy_memory_mib}Mi"
    return {
        **(_proxy_annotations(platform) if proxy else {}),
        f"{sidecar}/cpu-resource-request": f"{platform.queue_proxy_cpu_millis}m",
        f"{sidecar}/cpu-resource-limit": f"{platform.queue_proxy_cpu_limit_millis}m",
        f"{sidecar}/memory-resource-request": memory,
        f"{sidecar}/memory-resource-limit": memory,
    }


def _proxy_annotations(platform: Platform) -> dict[str, str]:
    memory = f"{platform.sidecar_memory_mib}Mi"
    return {
        "sidecar.istio.io/proxyCPU": f"{platform.sidecar_cpu_millis}m",
        "sidecar.istio.io/proxyCPULimit": f"{platform.sidecar_cpu_limit_millis}m",
        "sidecar.istio.io/proxyMemory": memory,
        "sidecar.istio.io/proxyMemoryLimit": memory,
    }


def _pod(function: CatalogueFunction) -> dict[str, Any]:
    resources = {"cpu": f"{function.cpu_millis}m", "memory": f"{function.memory_mib}Mi"}
    container: dict[str, Any] = {
        "name": "function",
        "image": function.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": function.port}],
        "readinessProbe": READINESS | {"httpGet": {"path": function.health_path}},
        "resources": {"requests": resources, "limits": resources},
        "securityContext": RESTRICTED,
    }
    if function.environment:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(function.environment.items())]
    return {
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containerConcurrency": function.concurrency,
        # One limit for the whole call. The start of the response gets the same, or Knative uses the cluster's default,
        # which would abort a call that is silent while it receives a large object; the gateway bounds how long a
        # function may be silent.
        "timeoutSeconds": function.timeout_seconds,
        "responseStartTimeoutSeconds": function.timeout_seconds,
        "containers": [container],
    }
