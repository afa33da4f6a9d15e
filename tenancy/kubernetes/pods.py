"""A tenant's pods: which of them run, which have to end, which run with less isolation than the tenant has. Pure.

How a pod is isolated is decided when it is made, and nothing changes it afterwards. So a pod that is older than its
tenant's level keeps the level that it was made at.
"""

from collections.abc import Iterable, Iterator, Sequence

from policies.model import IsolationLevel, Manifest, Platform, TenantSpec

# How long the containers of a suspended tenant's pods have to end. A pod's own grace period is the tenant's choice.
STOP_SECONDS = 30
_ENDED = frozenset({"Succeeded", "Failed"})
_NAMES_SHOWN = 5


def running_pods(pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Those whose containers run, will run, or have been told to end and have not yet."""
    return tuple(pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED)


def pods_to_end(pods: Iterable[Manifest]) -> Iterator[Manifest]:
    """Those that have to be deleted; a deletion that gives a pod longer than `STOP_SECONDS` is shortened."""
    for pod in running_pods(pods):
        metadata = pod["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("deletionGracePeriodSeconds", 0) > STOP_SECONDS:
            yield pod


def pods_below_level(pods: Iterable[Manifest], spec: TenantSpec, platform: Platform) -> tuple[Manifest, ...]:
    """Those that run without what admission gives to a pod that is made now."""
    return tuple(pod for pod in running_pods(pods) if not _has_level(pod["spec"], spec, platform))


def _has_level(pod: Manifest, spec: TenantSpec, platform: Platform) -> bool:
    level, sandbox = spec.isolation, platform.sandbox_runtime_class
    sandboxed = level >= IsolationLevel.L4 and sandbox is not None
    if sandboxed and pod.get("runtimeClassName") != sandbox:
        return False
    wants_user_namespace = level >= IsolationLevel.L3 and (not sandboxed or platform.sandbox_user_namespaces)
    if wants_user_namespace and pod.get("hostUsers", True):
        return False
    if sandboxed and level >= IsolationLevel.L5:
        return bool(pod.get("nodeSelector", {}).get(platform.node_pool_label) == spec.namespace)
    return True


def names_of(pods: Sequence[Manifest]) -> str:
    """The names of some of them, and how many there are."""
    shown = ", ".join(pod["metadata"]["name"] for pod in pods[:_NAMES_SHOWN])
    return f"{shown} and {len(pods) - _NAMES_SHOWN} more" if len(pods) > _NAMES_SHOWN else shown
