"""A volume that functions share, and that stays when they are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.kubernetes.client import Kind, Ref
from tests.isolation.arena import TENANT

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_QUOTA = Ref(Kind("v1", "ResourceQuota"), TENANT.namespace, "osfaas")


def test_a_tenant_has_no_volume_that_functions_could_share(arena: Arena) -> None:
    """The quota allows no claim; what a function writes is in its own pod, and goes with it."""
    arena.assert_defended("shared-volume")
    with arena.without(_QUOTA):
        arena.expect_answered("shared-volume", arena.tenant)
