"""A tenant that writes its own quota has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit has no such right, and that is the only thing that holds."""
    arena.assert_defended("quota-edit")
    with arena.right(arena.tenant, "", "resourcequotas", "create"):
        arena.expect_answered("quota-edit", arena.tenant)
