"""The state of functions from Knative's conditions, their Deployments and their pods. Pure.

Knative's conditions are not complete: with an exceeded quota a Knative Service stays Ready and its calls hang, because
only its Deployment reports that pods were rejected. The gateway reads only the record, so the reason is stored there.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from policies.labels import CALLABLE, OBJECTS, OWN_FUNCTION
from policies.model import Manifest
from tenancy.kubernetes.kinds import REVISION_LABEL, SERVICE_LABEL
from tenancy.model.reasons import (
    CONFIGURATION_REASONS,
    CRASH_REASONS,
    EXCEEDED_QUOTA,
    FAILED_CREATE,
    IMAGE_REASONS,
    NOT_READY,
    UNSCHEDULABLE,
)
from tenancy.model.record import FunctionStatus

_MAX_CHARACTERS = 400

# Percent, revision (None: the latest) and tag.
Share = tuple[int, str | None, str | None]


def function_statuses(
    services: Iterable[Manifest], deployments: Sequence[Manifest], pods: Sequence[Manifest]
) -> tuple[FunctionStatus, ...]:
    """The state of each Knative Service of a namespace, by name.

    Callers of an own function care for the revisions that get their calls: the latest one may be broken while an
    earlier one serves. Its state is in the status of its `Function` object.
    """
    found = [
        _status(service, [*_of(service, deployments)], [*_of(service, pods)])
        for service in services
        if not service["metadata"].get("deletionTimestamp")
    ]
    return tuple(sorted(found, key=lambda function: function.name))


def _status(service: Manifest, deployments: Sequence[Manifest], pods: Sequence[Manifest]) -> FunctionStatus:
    labels = service["metadata"].get("labels", {})
    ready, condition = _ready(service)
    reason, message = "", ""
    if OWN_FUNCTION in labels and routes_calls(service):
        ready, routed = True, {target.get("revisionName", "") for target in traffic_of(service)}
        deployments, pods = of_revisions(routed, deployments), of_revisions(routed, pods)
    running = any(deployment.get("status", {}).get("readyReplicas") for deployment in deployments)
    if not (ready and running):
        reason, message = problem_of(deployments, pods)
    if not ready and not reason:
        reason = condition.get("reason") or NOT_READY
        message = condition.get("message") or "Knative has not reported whether it is ready"
    labels = service["metadata"].get("labels", {})
    return FunctionStatus(
        name=service["metadata"]["name"],
        ready=ready,
        callable=labels.get(CALLABLE) == "true",
        objects=labels.get(OBJECTS) == "true",
        reason=reason,
        message=message[:_MAX_CHARACTERS],
        tags=tuple(sorted({target["tag"] for target in traffic_of(service) if target.get("tag")})),
        revision=_only_revision(service),
        memory_mib=_memory_mib(service),
    )


def _only_revision(service: Manifest) -> str:
    """The revision that gets all calls; "" if several share them."""
    names = {target.get("revisionName", "") for target in traffic_of(service) if target.get("percent")}
    return names.pop() if len(names) == 1 else ""


def _memory_mib(service: Manifest) -> int:
    """The memory limit of the function's container, in the unit in which we write it; 0 if it is in another one."""
    containers = service.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
    limit = str(containers[0].get("resources", {}).get("limits", {}).get("memory", "")) if containers else ""
    number = limit.removesuffix("Mi")
    return int(number) if limit != number and number.isascii() and number.isdecimal() else 0


def condition_of(service: Manifest, type_: str) -> Mapping[str, Any]:
    """A condition of a Knative object; empty if it has none of this type."""
    conditions = service.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each.get("type") == type_), {})


def routes_calls(service: Manifest) -> bool:
    """Whether Knative sends the calls of a service to revisions that became ready."""
    return bool(traffic_of(service)) and condition_of(service, "RoutesReady").get("status") == "True"


def shares_in(traffic: Iterable[Mapping[str, Any]]) -> tuple[Share, ...]:
    """The shares in the specification of a Knative Service."""
    return tuple((share.get("percent") or 0, share.get("revisionName"), share.get("tag")) for share in traffic)


def traffic_of(service: Manifest) -> Sequence[Mapping[str, Any]]:
    """The shares of a service's revisions, as Knative reports them."""
    shares: Sequence[Mapping[str, Any]] = service.get("status", {}).get("traffic", ())
    return shares


def of_revisions(names: Collection[str], objects: Iterable[Manifest]) -> list[Manifest]:
    """The Deployments or pods of these revisions."""
    return [each for each in objects if each["metadata"].get("labels", {}).get(REVISION_LABEL) in names]


def _ready(service: Manifest) -> tuple[bool, Mapping[str, Any]]:
    """Whether Knative reports the service as ready, and its condition; empty if that is of an earlier generation."""
    status = service.get("status", {})
    conditions = (each for each in status.get("conditions", ()) if each.get("type") == "Ready")
    current = status.get("observedGeneration") == service["metadata"].get("generation")
    condition: Mapping[str, Any] = next(conditions, {}) if current else {}
    return condition.get("status") == "True", condition


def _of(service: Manifest, objects: Iterable[Manifest]) -> Iterator[Manifest]:
    name = service["metadata"]["name"]
    return (each for each in objects if each["metadata"].get("labels", {}).get(SERVICE_LABEL) == name)


def problem_of(deployments: Iterable[Manifest], pods: Iterable[Manifest]) -> tuple[str, str]:
    """Why pods do not start: reason and message, both "" if Kubernetes reports none."""
    for deployment in deployments:
        for condition in deployment.get("status", {}).get("conditions", ()):
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                return _refused(condition.get("message", ""))
    for pod in pods:
        found = _pod_problem(pod)
        if found:
            return found
    return "", ""


def _refused(message: str) -> tuple[str, str]:
    if "exceeded quota" in message:
        return EXCEEDED_QUOTA, f"the project's quota does not allow its pod: {_after(message, 'is forbidden: ')}"
    return FAILED_CREATE, f"Kubernetes rejected its pod: {message}"


def _pod_problem(pod: Manifest) -> tuple[str, str] | None:
    if pod["metadata"].get("deletionTimestamp"):
        return None
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("reason") == UNSCHEDULABLE and condition.get("status") == "False":
            return UNSCHEDULABLE, f"no node has capacity for its pod: {condition.get('message', '')}"
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in IMAGE_REASONS:
            return reason, f"its image cannot be pulled: {message}"
        if reason in CRASH_REASONS:
            ended = container.get("lastState", {}).get("terminated", {})
            how = f"{ended.get('reason', 'terminated')}, exit code {ended.get('exitCode', '?')}" if ended else message
            return reason, f"its container {container.get('name')} keeps terminating: {how}"
        if reason in CONFIGURATION_REASONS:
            return reason, f"its container {container.get('name')} cannot be created: {message}"
    return None


def _after(message: str, mark: str) -> str:
    return message.rpartition(mark)[2]
