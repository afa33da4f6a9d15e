"""Without the default deny everything that no other policy selects is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.isolation.verdict import Verdict
from tests.isolation.arena import TENANT, network_policy, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit would allow it; the admission policy on kinds is what holds."""
    assert arena.defended["network-policy-removal"].verdict is Verdict.DEFENDED, arena.defended[
        "network-policy-removal"
    ]
    with arena.without(validation("osfaas-kinds")):
        arena.expect_answered("network-policy-removal", arena.tenant)
    assert arena.objects.get(network_policy(TENANT.namespace, "osfaas-deny-all")), "it was no dry run"
