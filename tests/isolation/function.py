"""The victim's real function: a pod made by Knative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.commands import wait_until
from tests.isolation.arena import VICTIM

if TYPE_CHECKING:
    from tests.cluster.probes import Reply
    from tests.isolation.arena import Arena

_PODS = ("pods", "-n", VICTIM.namespace, "-l", "serving.knative.dev/service=checksums")


@dataclass(frozen=True)
class FunctionPod:
    """One that is ready."""

    name: str
    address: str


def running_function(arena: Arena) -> FunctionPod:
    """A pod of the victim's function, woken up if need be."""
    gateway = f"http://{arena.targets.local_gateway}/"

    def awake() -> bool:
        reply: Reply = arena.cluster.curl_from_node(gateway, "-H", f"Host: {arena.tenant.victim.host}", seconds=30)
        return reply.answered and bool(_pods(arena))

    wait_until("the victim's function", awake, seconds=60)
    return _pods(arena)[0]


def _pods(arena: Arena) -> list[FunctionPod]:
    found: list[dict[str, Any]] = arena.cluster.kubectl.get(*_PODS)["items"]
    staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return [
        FunctionPod(pod["metadata"]["name"], pod["status"]["podIP"])
        for pod in staying
        if pod["status"].get("phase") == "Running"
    ]
