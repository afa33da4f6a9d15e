"""Labels of the namespace decide on Pod Security, on the level, and on who may connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit has no such right; should somebody give it, the admission policy on namespaces holds."""
    arena.assert_defended("namespace-labels")
    with arena.right(arena.tenant, "", "namespaces", "patch"):
        arena.expect_refused("namespace-labels", arena.tenant)
        with arena.without(validation("osfaas-namespaces")):
            arena.expect_answered("namespace-labels", arena.tenant)
