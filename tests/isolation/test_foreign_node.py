"""The nodes of a tenant of level L5 are promised to it alone: a pod beside it shares its caches and cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.isolation.arena import mutation, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

PLACES = ("low", "tenant", "top")
WAYS = ("foreign-node", "foreign-node-affinity", "foreign-node-name")
_PLACEMENT = validation("osfaas-pods-placement")
_POOL = (mutation("osfaas-pods-node-pool"), validation("osfaas-pods-node-pool"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_no_tenants_pod_gets_there(arena: Arena, place: str, way: str) -> None:
    """Not from L1, not from L3, not from L5 itself: by selector, by affinity, past the scheduler."""
    where = getattr(arena, place)
    arena.expect_refused(way, where)
    with arena.without(_PLACEMENT, *(_POOL if place == "top" else ())):
        arena.expect_answered(way, where)


def test_a_pod_of_a_tenant_with_nodes_of_its_own_is_sent_to_them(arena: Arena) -> None:
    """One admission policy sets the selector, so that the pod's own selector is not kept even without the other."""
    with arena.without(_PLACEMENT):
        arena.expect_refused("foreign-node", arena.top)


@pytest.mark.parametrize("place", PLACES)
def test_no_tenants_pod_pushes_others_off_their_nodes(arena: Arena, place: str) -> None:
    """The system's priorities are for the system."""
    where = getattr(arena, place)
    arena.expect_refused("system-priority", where)
    with arena.without(_PLACEMENT):
        arena.expect_answered("system-priority", where)
