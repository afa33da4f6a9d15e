"""One tenant fills the disk of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.kubernetes.client import Kind, Ref
from tests.isolation.arena import TENANT

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_LIMITS = Ref(Kind("v1", "LimitRange"), TENANT.namespace, "osfaas")
_QUOTA = Ref(Kind("v1", "ResourceQuota"), TENANT.namespace, "osfaas")


def test_a_tenants_container_gets_no_more_disk_than_its_share(arena: Arena) -> None:
    """The limit of a container holds, and without it the quota of all."""
    arena.assert_defended("disk-exhaustion")
    with arena.without(_LIMITS):
        arena.expect_refused("disk-exhaustion", arena.tenant)
    with arena.without(_LIMITS, _QUOTA):
        arena.expect_answered("disk-exhaustion", arena.tenant)
