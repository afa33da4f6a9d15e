"""Policies add up: those of Istio's chart (`global.networkPolicy.enabled`) open ports to everybody, beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import PLATFORM

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_NAME = "iso-of-istio"
_ATTACK = "local-gateway-by-cluster-ip"


def test_it_defeats_the_gateways_own_policy_and_not_the_tenants(arena: Arena) -> None:
    """A rule without `from`, as that chart has it, lets in whoever may connect; a tenant from L2 on may not."""
    arena.expect_refused(_ATTACK, arena.low)
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _NAME, "namespace": "istio-system"},
        "spec": {
            "podSelector": {"matchLabels": dict(PLATFORM.ingress_labels)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": 8081}]}],
        },
    }
    arena.cluster.kubectl.apply(policy)
    try:
        arena.expect_answered(_ATTACK, arena.low)
        arena.expect_refused(_ATTACK, arena.tenant)
    finally:
        arena.cluster.kubectl("delete", "networkpolicy", _NAME, "-n", "istio-system")
