"""One tenant takes the CPU of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.kubernetes.client import Kind, Ref
from tests.isolation.arena import TENANT

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_QUOTA = Ref(Kind("v1", "ResourceQuota"), TENANT.namespace, "osfaas")


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The quota of the namespace is what holds."""
    arena.assert_defended("quota-exhaustion")
    with arena.without(_QUOTA):
        arena.expect_answered("quota-exhaustion", arena.tenant)
