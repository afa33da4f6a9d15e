"""ResourceQuota and LimitRange of a namespace, built from the same `Limits` that the gateway uses.

`Limits` count function containers. Each pod also has Knative's queue-proxy, and perhaps Istio's proxy, which the quota
must include, or the last promised pods never start.
"""

from typing import Protocol

from policies.errors import PolicyError
from policies.labels import API_GROUP, FUNCTION_PLURAL, SECRET_PLURAL, TRIGGER_PLURAL
from policies.mesh import has_sidecars
from policies.metadata import tenant_metadata
from policies.model import CatalogueFunction, Limits, Manifest, Platform, TenantSpec
from policies.own_function_secrets import MAX_SECRETS, MAX_VERSIONS

QUOTA_NAME = "osfaas"
LIMIT_RANGE_NAME = "osfaas"

# Knative keeps 20 old revisions of a service by default, besides the current and the next one.
_REVISIONS_PER_SERVICE = 22
_EPHEMERAL_MIB = 256


class Sized(Protocol):
    """A function with the size of one of its pods, and the maximum number of them."""

    @property
    def cpu_millis(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def max_scale(self) -> int: ...


def pods_that_fit(function: Sized, limits: Limits) -> int:
    """Number of pods of this function within the limits, capped by its `max_scale`; 0: none fits."""
    return max(
        0,
        min(
            function.max_scale,
            limits.pods,
            limits.cpu_millis // function.cpu_millis,
            limits.memory_mib // function.memory_mib,
        ),
    )


def require_capacity(function: CatalogueFunction, limits: Limits) -> None:
    """Raises PolicyError if not even one pod of the function fits, because every call would hang."""
    if pods_that_fit(function, limits) < 1:
        raise PolicyError(
            f"the limits ({limits.pods} pods, {limits.cpu_millis} millicores, {limits.memory_mib} MiB) are too small"
            f" for one pod of {function.name}, which needs {function.cpu_millis} millicores and"
            f" {function.memory_mib} MiB; raise the limits or leave the function out"
        )


def build_quota(spec: TenantSpec, platform: Platform) -> Manifest:
    """The ResourceQuota. That of a suspended tenant allows no pod, so nothing starts even if other steps fail."""
    pods = 0 if spec.suspended is not None else spec.limits.pods
    containers = 1 + len(_further_containers(spec, platform))
    requests, limits, memory_mib = map(sum, zip(*_further_containers(spec, platform), strict=True))
    sidecars = {"requests": requests, "limits": limits}
    memory = spec.limits.memory_mib + spec.limits.pods * memory_mib
    disk = spec.limits.pods * containers * _EPHEMERAL_MIB + _build_disk_mib(platform)
    hard = {
        "pods": str(pods),
        **{f"{side}.cpu": f"{spec.limits.cpu_millis + spec.limits.pods * own}m" for side, own in sidecars.items()},
        **{f"{side}.memory": f"{memory}Mi" for side in ("requests", "limits")},
        **{f"{side}.ephemeral-storage": f"{disk}Mi" for side in ("requests", "limits")},
        **_object_counts(spec, platform),
    }
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": tenant_metadata(spec, QUOTA_NAME),
        "spec": {"hard": hard},
    }


def _further_containers(spec: TenantSpec, platform: Platform) -> list[tuple[int, int, int]]:
    """CPU request, CPU limit and memory of the containers that each pod has beside the function's."""
    queue = (platform.queue_proxy_cpu_millis, platform.queue_proxy_cpu_limit_millis, platform.queue_proxy_memory_mib)
    proxy = (platform.sidecar_cpu_millis, platform.sidecar_cpu_limit_millis, platform.sidecar_memory_mib)
    return [queue, proxy] if has_sidecars(spec, platform) else [queue]


def _build_disk_mib(platform: Platform) -> int:
    """Limits of projects say nothing of disks, so builds get their own."""
    return platform.builds.per_project * platform.builds.disk_mib if platform.builds else 0


def _object_counts(spec: TenantSpec, platform: Platform) -> dict[str, str]:
    """Limits objects in etcd, which is shared. A revision needs two Services, a Knative Service one more."""
    services = len(spec.functions) + spec.limits.own_functions + platform.further_services
    revisions = services * _REVISIONS_PER_SERVICE
    counts = {
        "services": services + 2 * revisions,
        "services.loadbalancers": 0,
        "services.nodeports": 0,
        "persistentvolumeclaims": 0,
        "configmaps": 20,
        "secrets": 20 + MAX_SECRETS * MAX_VERSIONS,
        "count/serviceaccounts": 10,
        "count/deployments.apps": revisions,
        "count/replicasets.apps": 2 * revisions,
        "count/statefulsets.apps": 0,
        "count/daemonsets.apps": 0,
        # Of each function: the last one, and the one that takes its place.
        "count/jobs.batch": 2 * spec.limits.own_functions if platform.builds else 0,
        "count/cronjobs.batch": 0,
        "count/ingresses.networking.k8s.io": 0,
        "count/networkpolicies.networking.k8s.io": 20,
        "count/roles.rbac.authorization.k8s.io": 10,
        "count/rolebindings.rbac.authorization.k8s.io": 10,
        "count/leases.coordination.k8s.io": 10,
        f"count/{FUNCTION_PLURAL}.{API_GROUP}": spec.limits.own_functions,
        f"count/{SECRET_PLURAL}.{API_GROUP}": MAX_SECRETS,
        # What the gateway keeps of a tenant's triggers is bounded, also if members do not write them through the API.
        f"count/{TRIGGER_PLURAL}.{API_GROUP}": 200,
        "count/services.serving.knative.dev": services,
        "count/revisions.serving.knative.dev": revisions,
    }
    return {resource: str(count) for resource, count in counts.items()}


def build_limit_range(spec: TenantSpec, platform: Platform) -> Manifest:
    """The LimitRange: defaults of containers without resources, queue-proxy included, and the maximum of each."""
    defaults = {
        "cpu": f"{platform.queue_proxy_cpu_limit_millis}m",
        "memory": f"{platform.queue_proxy_memory_mib}Mi",
        "ephemeral-storage": f"{_EPHEMERAL_MIB}Mi",
    }
    requests = {**defaults, "cpu": f"{platform.queue_proxy_cpu_millis}m"}
    maximum = {
        "cpu": f"{max(spec.limits.cpu_millis, *(limit for _, limit, _ in _further_containers(spec, platform)))}m",
        "memory": f"{max(spec.limits.memory_mib, *(size for _, _, size in _further_containers(spec, platform)))}Mi",
        "ephemeral-storage": f"{max(_EPHEMERAL_MIB, platform.builds.disk_mib if platform.builds else 0)}Mi",
    }
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": tenant_metadata(spec, LIMIT_RANGE_NAME),
        "spec": {"limits": [{"type": "Container", "default": defaults, "defaultRequest": requests, "max": maximum}]},
    }
