"""A Knative Service without cluster-local visibility answers at the public gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit would allow it; the admission policy on visibility is what holds."""
    arena.assert_defended("public-visibility")
    with arena.without(validation("osfaas-visibility")):
        arena.expect_answered("public-visibility", arena.tenant)
