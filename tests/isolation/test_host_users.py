"""A pod may ask for root on the node, once it is out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.commands import wait_until
from tests.isolation.arena import mutation, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_SECOND = "ValidatingAdmissionPolicy 'osfaas-pods-user-namespace'"


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """One admission policy overrides the field silently; a second one refuses it if the first is missing."""
    arena.assert_defended("host-users")
    with arena.without(mutation("osfaas-pods-user-namespace")):
        # Its positive control is refused then as well: a pod without the field has no user namespace either.
        wait_until("the second policy's refusal", lambda: _SECOND in _heard(arena), seconds=20)
        with arena.without(validation("osfaas-pods-user-namespace")):
            arena.expect_answered("host-users", arena.tenant)


def _heard(arena: Arena) -> str:
    return arena.find(["host-users"], arena.tenant)["host-users"].evidence.detail
