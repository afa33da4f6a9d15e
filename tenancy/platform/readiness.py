"""Whether Deployments and DaemonSets are available, and why not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from policies.model import Manifest


def is_available(deployment: Manifest) -> bool:
    """Whether all replicas of the current generation are available."""
    status, spec = deployment.get("status", {}), deployment["spec"]
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False
    wanted = spec.get("replicas", 1)
    return all(int(status.get(field, 0)) >= wanted for field in ("updatedReplicas", "availableReplicas")) and (
        int(status.get("replicas", 0)) == wanted
    )


def is_everywhere(daemon_set: Manifest) -> bool:
    """Whether a DaemonSet's pods of the current generation are ready on all of its nodes, at least one."""
    status = daemon_set.get("status", {})
    if status.get("observedGeneration", 0) < daemon_set["metadata"].get("generation", 0):
        return False
    wanted = int(status.get("desiredNumberScheduled", 0))
    return wanted > 0 and all(
        int(status.get(field, 0)) >= wanted for field in ("updatedNumberScheduled", "numberReady")
    )


def why_not(deployment: Manifest, pods: Iterable[Manifest], replica_sets: Iterable[Manifest]) -> str:
    """Why a Deployment is not available: rejected pods, image, crash, missing Secret, no capacity; one sentence."""
    name = deployment["metadata"]["name"]
    selector = deployment["spec"]["selector"].get("matchLabels", {})
    for item in replica_sets:
        if selector.items() <= _labels(item).items() and (refusal := _condition(item, "ReplicaFailure", "True")):
            return f"{name}: its pods are rejected: {refusal['message']}"
    own = [pod for pod in pods if selector.items() <= _labels(pod).items()]
    for pod in own:
        if reason := _pod_reason(pod):
            return f"{name}: {reason}"
    ready = deployment.get("status", {}).get("availableReplicas", 0)
    return f"{name}: {ready} of {deployment['spec'].get('replicas', 1)} replicas are available, of {len(own)} pods"


def _pod_reason(pod: Manifest) -> str:
    status = pod.get("status", {})
    if unscheduled := _condition(pod, "PodScheduled", "False"):
        return f"its pod cannot be scheduled: {unscheduled.get('message', unscheduled.get('reason', ''))}"
    for container in _containers(status):
        state = container.get("state", {})
        waiting = state.get("waiting") or {}
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            last = (container.get("lastState") or {}).get("terminated") or {}
            ended = f"; last exit code {last['exitCode']}" if "exitCode" in last else ""
            return f"container {container['name']} is {waiting['reason']}: {waiting.get('message', '')}{ended}"
        if terminated := state.get("terminated"):
            return f"container {container['name']} terminated with exit code {terminated.get('exitCode')}"
    for container in _containers(status):
        if not container.get("ready", False):
            if "running" in container.get("state", {}):
                return f"container {container['name']} is running, but its readiness probe fails"
            return (
                f"container {container['name']} is being created: it waits for an image or a volume (a missing Secret?)"
            )
    return ""


def _containers(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _labels(item: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = item["metadata"].get("labels", {})
    return labels


def _condition(item: Manifest, kind: str, status: str) -> Mapping[str, Any] | None:
    for condition in item.get("status", {}).get("conditions", ()):
        if condition["type"] == kind and condition["status"] == status:
            found: Mapping[str, Any] = condition
            return found
    return None
