"""Why a Deployment is not there, in words."""

from typing import Any

import pytest

from tenancy.platform.readiness import is_available, why_not

LABELS = {"app": "gateway"}


def deployment(replicas: int = 2, generation: int = 3, **status: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "gateway", "generation": generation},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}},
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status},
    }


def pod(*containers: dict[str, Any], conditions: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    status = {"containerStatuses": list(containers), "conditions": conditions or []}
    return {"metadata": {"name": "gateway-1", "labels": LABELS}, "status": status}


@pytest.mark.parametrize(
    "status",
    [{"availableReplicas": 1}, {"updatedReplicas": 1}, {"replicas": 3}, {"observedGeneration": 2}],
)
def test_an_unfinished_rollout_is_not_available(status: dict[str, int]):
    """Old pods that still answer do not count."""
    assert not is_available(deployment(**status))


def test_a_finished_one_is():
    """All replicas, all new; or none, if none are wanted."""
    assert is_available(deployment())
    nothing = deployment(replicas=0)
    nothing["status"] = {"observedGeneration": 3}
    assert is_available(nothing)


WAITING = {
    "name": "main",
    "ready": False,
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}},
}
CRASHED = {
    "name": "main",
    "ready": False,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
    "lastState": {"terminated": {"exitCode": 2}},
}
CREATING = {"name": "main", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
RUNNING = {"name": "main", "ready": False, "state": {"running": {}}}
UNSCHEDULED = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient cpu"}]


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([pod(WAITING)], "ImagePullBackOff: no such tag"),
        ([pod(CRASHED)], "last exit code 2"),
        ([pod(CREATING)], "Secret"),
        ([pod(RUNNING)], "its readiness probe fails"),
        ([pod(conditions=UNSCHEDULED)], "Insufficient cpu"),
        ([], "0 of 2 replicas are available, of 0 pods"),
        ([{"metadata": {"name": "other", "labels": {"app": "x"}}, "status": {}}], "of 0 pods"),
    ],
)
def test_the_reason_is_said(pods: list[dict[str, Any]], words: str):
    """The first that explains it."""
    assert words in why_not(deployment(availableReplicas=0), pods, [])


def test_refused_pods_are_explained_by_their_replica_set():
    """There is no pod then that could say why."""
    conditions = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
    replica_set = {"metadata": {"name": "gateway-1", "labels": LABELS}, "status": {"conditions": conditions}}
    assert "exceeded quota" in why_not(deployment(availableReplicas=0), [], [replica_set])
