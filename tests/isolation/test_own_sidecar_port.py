"""A port that an own image opens beside the function's: nobody else's pod connects to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


NAME = "own-sidecar-port"


def test_a_tenant_reaches_no_further_port_of_another_tenants_pod(arena: Arena) -> None:
    """Both policies are enough by themselves; without both, the victim's word comes back."""
    arena.assert_defended(NAME)
    arena.expect_refused(NAME, arena.low_victim)
    arena.expect_refused(NAME, arena.low)
    assert arena.outsider.victim.word in arena.expect_answered(NAME, arena.outsider).detail
