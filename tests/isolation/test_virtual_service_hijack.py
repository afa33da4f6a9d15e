"""A VirtualService on the shared gateway takes over another tenant's Host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.isolation.verdict import Verdict
from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The role edit has no such right; should somebody give it, the admission policy on kinds holds."""
    assert arena.defended["virtual-service-hijack"].verdict is Verdict.DEFENDED, arena.defended[
        "virtual-service-hijack"
    ]
    with arena.right(arena.tenant, "networking.istio.io", "virtualservices", "create"):
        arena.expect_refused("virtual-service-hijack", arena.tenant)
        with arena.without(validation("osfaas-kinds")):
            arena.expect_answered("virtual-service-hijack", arena.tenant)
