"""Why a function does not run, from objects as Kubernetes and Knative write them."""

from typing import Any

import pytest

from policies.labels import CALLABLE, OBJECTS
from tenancy.controller.function_status import function_statuses
from tenancy.model.record import FunctionStatus

Object = dict[str, Any]
LABELS = {"serving.knative.dev/service": "f"}
QUOTA = (
    'pods "f-00001-deployment-6d-x" is forbidden: exceeded quota: osfaas, requested: pods=1, used: pods=10, '
    "limited: pods=10"
)


def service(status: str = "True", *, generation: int = 1, snapshot: int = 1, labels: Object | None = None) -> Object:
    ready = {"type": "Ready", "status": status, "reason": "RevisionFailed", "message": "Revision failed"}
    return {
        "metadata": {"name": "f", "generation": generation, "labels": {CALLABLE: "true"} if labels is None else labels},
        "status": {"observedGeneration": snapshot, "conditions": [{"type": "RoutesReady", "status": "False"}, ready]},
    }


def deployment(ready: int = 0, failure: str = "") -> Object:
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}]
    return {
        "metadata": {"labels": LABELS},
        "status": {"conditions": conditions if failure else [], **({"readyReplicas": ready} if ready else {})},
    }


def pod(
    *, waiting: Object | None = None, unschedulable: str = "", last: Object | None = None, **metadata: Any
) -> Object:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
    container = {"name": "function", "state": {"waiting": waiting or {}}, "lastState": {"terminated": last or {}}}
    return {
        "metadata": {"labels": LABELS, **metadata},
        "status": {"conditions": [scheduled] if unschedulable else [], "containerStatuses": [container]},
    }


@pytest.mark.parametrize(
    ("deployments", "pods", "reason", "said"),
    [
        ([deployment(failure=QUOTA)], [], "ExceededQuota", "quota does not allow its pod: exceeded quota: osfaas"),
        ([deployment(failure="violates PodSecurity")], [], "FailedCreate", "violates PodSecurity"),
        (
            [],
            [pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"})],
            "ImagePullBackOff",
            "no such image",
        ),
        ([], [pod(waiting={"reason": "ErrImagePull"})], "ErrImagePull", "image"),
        ([], [pod(waiting={"reason": "InvalidImageName"})], "InvalidImageName", "image"),
        (
            [],
            [pod(waiting={"reason": "CrashLoopBackOff"}, last={"reason": "OOMKilled", "exitCode": 137})],
            "CrashLoopBackOff",
            "OOMKilled, exit code 137",
        ),
        ([], [pod(waiting={"reason": "RunContainerError"})], "RunContainerError", "function"),
        ([], [pod(waiting={"reason": "CreateContainerConfigError"})], "CreateContainerConfigError", "function"),
        ([], [pod(unschedulable="0/3 nodes")], "Unschedulable", "0/3 nodes"),
        ([], [], "", ""),
        ([], [pod(waiting={"reason": "ContainerCreating"})], "", ""),
        ([], [pod(waiting={"reason": "ErrImagePull"}, deletionTimestamp="x")], "", ""),
    ],
)
def test_knative_says_ready_and_yet_no_pod_runs(
    deployments: list[Object], pods: list[Object], reason: str, said: str
) -> None:
    """Its calls would hang without a word; asleep is no problem."""
    (found,) = function_statuses([service()], deployments, pods)
    assert (found.ready, found.reason) == (True, reason)
    assert said in found.message


def test_one_more_pod_that_finds_no_room_is_no_problem_while_others_run() -> None:
    """The function answers; it only does not grow."""
    (found,) = function_statuses([service()], [deployment(ready=2, failure=QUOTA)], [])
    assert found == FunctionStatus("f", ready=True)


def test_a_function_that_is_not_ready_has_knatives_reason_and_message() -> None:
    """The reason of a pod is more exact and takes precedence."""
    (found,) = function_statuses([service("False")], [], [])
    assert (found.ready, found.reason, found.message) == (False, "RevisionFailed", "Revision failed")
    (found,) = function_statuses([service("False")], [], [pod(waiting={"reason": "ErrImagePull"})])
    assert found.reason == "ErrImagePull"


def test_a_condition_without_a_reason_is_not_ready() -> None:
    """Knative leaves the reason of an unknown state empty."""
    unknown = service("Unknown")
    unknown["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    (found,) = function_statuses([unknown], [], [])
    assert (found.reason, found.message) == ("NotReady", "Knative has not reported whether it is ready")


def test_a_condition_of_an_earlier_generation_does_not_count() -> None:
    """Ready was another specification."""
    for status in ("True", "False"):
        (found,) = function_statuses([service(status, generation=2)], [], [])
        assert (found.ready, found.reason) == (False, "NotReady")
        assert "Revision failed" not in found.message


def test_troubles_of_another_function_are_not_taken_for_its_own() -> None:
    """By the label."""
    other = deployment(failure=QUOTA)
    other["metadata"]["labels"] = {"serving.knative.dev/service": "g"}
    (found,) = function_statuses([service()], [other], [])
    assert found.reason == ""


@pytest.mark.parametrize("labels", [{}, {CALLABLE: "false"}, {CALLABLE: "True"}])
def test_only_what_is_marked_is_callable(labels: Object) -> None:
    """A tenant's own services are shown and not callable by themselves."""
    (found,) = function_statuses([service(labels=labels)], [], [])
    assert not found.callable


@pytest.mark.parametrize(
    ("labels", "takes"),
    [({}, False), ({OBJECTS: "false"}, False), ({OBJECTS: "True"}, False), ({OBJECTS: "true"}, True)],
)
def test_only_what_is_marked_takes_objects(labels: Object, takes: bool) -> None:
    """The query of every other function is its own."""
    (found,) = function_statuses([service(labels=labels)], [], [])
    assert found.objects is takes


def test_a_service_that_is_going_is_not_listed() -> None:
    """And one without any status is not ready."""
    going, fresh = service(), service()
    going["metadata"]["deletionTimestamp"] = "x"
    del fresh["status"]
    (found,) = function_statuses([going, fresh], [], [])
    assert (found.ready, found.reason) == (False, "NotReady")
