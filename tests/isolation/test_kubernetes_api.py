"""A function has no business with the Kubernetes API, with or without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """The tenant's default deny is what holds; at level L1 the API server answers."""
    arena.assert_defended("kubernetes-api")
    arena.expect_answered("kubernetes-api", arena.low)
