"""A pod may call itself activator or gateway; who is admitted is decided by its namespace too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tenancy.isolation.pods import probe_pod
from tenancy.isolation.runners import PodName
from tests.isolation.arena import IMAGE, LOW, PLATFORM, REFUSALS, VICTIM

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


_NAME = "pretender"


def test_labels_of_the_platforms_pods_open_nothing(arena: Arena) -> None:
    """With every such label, and no policy on what it may connect to; a rule by labels alone would let it in."""
    pod = probe_pod(LOW.namespace, _NAME, IMAGE)
    pod["metadata"]["labels"] |= {"app": "activator", **PLATFORM.ingress_labels, **PLATFORM.gateway_labels}
    arena.cluster.kubectl.apply(pod)
    arena.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{_NAME}", "-n", LOW.namespace, "--timeout=90s")
    place = replace(arena.low, probe=PodName(LOW.namespace, _NAME))
    found = arena.find(["pod-ip-8012", "activator-forged-headers-8012", "local-gateway-by-pod-ip-8081"], place)
    assert {finding.evidence.outcome for finding in found.values()} <= REFUSALS, found
    arena.cluster.kubectl.apply(_careless_rule())
    try:
        arena.expect_answered("pod-ip-8012", place)
    finally:
        arena.cluster.kubectl("delete", "networkpolicy", "careless", "-n", VICTIM.namespace)


def _careless_rule() -> dict[str, Any]:
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "activator"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "careless", "namespace": VICTIM.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]},
    }
