"""queue-proxy ends its pod for whoever asks at 8022, without asking who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.isolation.attack import Connect, Outcome
from tenancy.isolation.network_attacks import http
from tenancy.isolation.runners import run_in_pod
from tests.isolation.function import running_function

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_no_tenant_drains_anothers_function(arena: Arena) -> None:
    """The victim's real function pod is out of reach at 8022, while the node, which no policy stops, is served."""
    address = running_function(arena).address
    probe = Connect(address, 8022, http(address, "/wait-for-drain"))
    for place in (arena.tenant, arena.low):
        (evidence,) = run_in_pod(arena.configuration, place.probe, [probe])
        assert evidence.outcome is Outcome.TIMED_OUT, evidence
    # Another path of the same server: a drain answers only when the pod has been silent for a while.
    reply = arena.cluster.curl_from_node(f"http://{address}:8022/")
    assert (reply.answered, reply.status) == (True, 404), reply
