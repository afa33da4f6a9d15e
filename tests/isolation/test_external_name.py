"""An ExternalName Service lends a name of the tenant's namespace to somebody else's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit would allow it; the admission policy on Services is what holds."""
    arena.assert_defended("external-name")
    with arena.without(validation("osfaas-services")):
        arena.expect_answered("external-name", arena.tenant)
