"""The cloud's metadata service hands out credentials of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """The tenant's default deny is what holds; at level L1 the address answers."""
    arena.assert_defended("metadata-address")
    arena.expect_answered("metadata-address", arena.low)
