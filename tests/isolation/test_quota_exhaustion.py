"""One tenant takes the CPU of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.cluster import Kind, Ref
from tenancy.verify.verdict import Verdict
from tests.isolation.arena import TENANT

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenants_user_may_not(arena: Arena) -> None:
    """The quota of the namespace is what holds."""
    assert arena.defended["quota-exhaustion"].verdict is Verdict.DEFENDED, arena.defended["quota-exhaustion"]
    with arena.without(Ref(Kind("v1", "ResourceQuota"), TENANT.namespace, "osfaas")):
        arena.expect_answered("quota-exhaustion", arena.tenant)
