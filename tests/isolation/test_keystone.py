"""A function that got hold of a token could use it at Keystone; it may reach the object store alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """The store of the same machine answers, Keystone does not; at level L1 both do."""
    arena.assert_defended("keystone")
    arena.expect_answered("keystone", arena.low)
