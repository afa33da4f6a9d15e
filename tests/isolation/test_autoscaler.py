"""The autoscaler takes statistics from whoever connects: a tenant could scale another's functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import network_policy

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


_POLICIES = tuple(
    network_policy("knative-serving", f"osfaas-{name}") for name in ("deny-all", "autoscaler", "webhooks")
)


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """Closed from inside a tenant; its own policy holds without the tenant's; without both it answers."""
    arena.assert_defended("autoscaler")
    arena.expect_refused("autoscaler", arena.low)
    with arena.without(*_POLICIES):
        arena.expect_answered("autoscaler", arena.low)
