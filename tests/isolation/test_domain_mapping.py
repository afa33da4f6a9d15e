"""A DomainMapping takes over a Host at the shared ingress; Knative adds the right to the role edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit would allow it; the admission policy on kinds is what holds."""
    arena.assert_defended("domain-mapping")
    with arena.without(validation("osfaas-kinds")):
        arena.expect_answered("domain-mapping", arena.tenant)
