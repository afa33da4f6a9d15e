"""queue-proxy ends its pod for whoever asks at 8022, without asking who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.verify.asking import ask_in_pod
from tenancy.verify.attack import Connect, Outcome
from tenancy.verify.network import http
from tests.cluster.commands import wait_until
from tests.isolation.arena import VICTIM

if TYPE_CHECKING:
    from tests.cluster.probes import Reply
    from tests.isolation.arena import Arena


_PODS = ("pods", "-n", VICTIM.namespace, "-l", "serving.knative.dev/service=checksums")


def test_no_tenant_drains_anothers_function(arena: Arena) -> None:
    """The victim's real function pod is out of reach at 8022, while the node, which no policy stops, is served."""
    address = _running_function(arena)
    question = Connect(address, 8022, http(address, "/wait-for-drain"))
    for place in (arena.tenant, arena.low):
        (evidence,) = ask_in_pod(arena.configuration, place.probe, [question])
        assert evidence.outcome is Outcome.TIMED_OUT, evidence
    # Another path of the same server: a drain answers only when the pod has been silent for a while.
    reply = arena.cluster.curl_from_node(f"http://{address}:8022/")
    assert (reply.answered, reply.status) == (True, 404), reply


def _running_function(arena: Arena) -> str:
    """The address of a pod of the victim's function, woken up if need be."""
    gateway = f"http://{arena.targets.local_gateway}/"

    def awake() -> bool:
        reply: Reply = arena.cluster.curl_from_node(gateway, "-H", f"Host: {arena.tenant.victim.host}", seconds=30)
        return reply.answered and bool(_addresses(arena))

    wait_until("the victim's function", awake, seconds=60)
    return _addresses(arena)[0]


def _addresses(arena: Arena) -> list[str]:
    pods = arena.cluster.kubectl.get(*_PODS)["items"]
    ready = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return [pod["status"]["podIP"] for pod in ready if pod["status"].get("phase") == "Running"]
