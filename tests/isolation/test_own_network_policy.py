"""Policies add up: a tenant's own that allows everything undoes the default deny."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit would allow it; the admission policy on kinds is what holds."""
    arena.assert_defended("own-network-policy")
    with arena.without(validation("osfaas-kinds")):
        arena.expect_answered("own-network-policy", arena.tenant)
