"""A hostPath volume is the node's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """Pod Security restricted is what holds, from level L1 on."""
    arena.assert_defended("host-path")
    arena.expect_refused("host-path", arena.low)
    with arena.without_pod_security(arena.low):
        arena.expect_answered("host-path", arena.low)
