"""A tenant's pods: which run, which must end, and which are less isolated than their tenant's level. Pure.

The isolation of a pod is decided when it is created and never changes. A pod that is older than its tenant's current
level keeps the level at which it was created.
"""

from collections.abc import Iterable, Iterator, Sequence

from policies.labels import OWN_FUNCTION
from policies.model import IsolationLevel, Manifest, Platform, TenantSpec
from policies.sandbox import sandbox_of

# Grace period for the pods of a suspended tenant. A pod's own grace period is the tenant's choice.
STOP_SECONDS = 30
_ENDED = frozenset({"Succeeded", "Failed"})
_NAMES_SHOWN = 5


def running_pods(pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Pods whose containers run, will run, or are still terminating."""
    return tuple(pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED)


def pods_to_end(pods: Iterable[Manifest]) -> Iterator[Manifest]:
    """Pods that must be deleted; a grace period longer than `STOP_SECONDS` is shortened."""
    for pod in running_pods(pods):
        metadata = pod["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("deletionGracePeriodSeconds", 0) > STOP_SECONDS:
            yield pod


def pods_below_level(pods: Iterable[Manifest], spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """Pods without the isolation that admission gives to a new pod."""
    return tuple(pod for pod in running_pods(pods) if not _has_level(pod, spec, platform))


def _has_level(pod: Manifest, spec: TenantSpec, platform: Platform) -> bool:
    level, runtime_class = spec.isolation, pod["spec"].get("runtimeClassName")
    tenant_code = OWN_FUNCTION in pod["metadata"].get("labels", {})
    sandbox = sandbox_of(level, platform, tenant_code=tenant_code)
    if sandbox is not None and runtime_class != sandbox:
        return False
    in_sandbox = runtime_class is not None and runtime_class == platform.sandbox_runtime_class
    wants_user_namespace = level >= IsolationLevel.L3 and (not in_sandbox or platform.sandbox_user_namespaces)
    if wants_user_namespace and pod["spec"].get("hostUsers", True):
        return False
    if sandbox is not None and level >= IsolationLevel.L5:
        return bool(pod["spec"].get("nodeSelector", {}).get(platform.node_pool_label) == spec.namespace)
    return True


def names_of(pods: Sequence[Manifest]) -> str:
    """The first names, and the number of the others."""
    shown = ", ".join(pod["metadata"]["name"] for pod in pods[:_NAMES_SHOWN])
    return f"{shown} and {len(pods) - _NAMES_SHOWN} more" if len(pods) > _NAMES_SHOWN else shown
