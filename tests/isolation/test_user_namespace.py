"""Root in a pod without a user namespace is root on the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_pod_runs_in_a_user_namespace(arena: Arena) -> None:
    """Its user 0 is another one on the node; at level L1 it is the node's own."""
    assert arena.defended["user-namespace"].verdict is Verdict.DEFENDED, arena.defended["user-namespace"]
    arena.expect_answered("user-namespace", arena.low)
