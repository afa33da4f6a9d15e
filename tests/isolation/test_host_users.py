"""A pod may ask for root on the node, once it is out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import mutation, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """One admission policy turns the wish down silently, a second one refuses it should the first be gone."""
    arena.assert_defended("host-users")
    with arena.without(mutation("osfaas-pods-user-namespace")):
        arena.expect_refused("host-users", arena.tenant)
        with arena.without(validation("osfaas-pods-user-namespace")):
            arena.expect_answered("host-users", arena.tenant)
