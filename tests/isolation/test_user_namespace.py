"""Root in a pod without a user namespace is root on the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_pod_runs_in_a_user_namespace(arena: Arena) -> None:
    """Its user 0 is another one on the node; at level L1 it is the node's own."""
    arena.assert_defended("user-namespace")
    arena.expect_answered("user-namespace", arena.low)
