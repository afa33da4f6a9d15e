"""The kubelet listens on every node, and with it the node's own address is within reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """The tenant's default deny is what holds; at level L1 the kubelet answers."""
    arena.assert_defended("kubelet")
    arena.expect_answered("kubelet", arena.low)
