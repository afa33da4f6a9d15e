"""A pod on another tenant's node shares its caches and cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import mutation, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_admission_decides_where_a_pod_runs(arena: Arena) -> None:
    """One admission policy sets it, a second one refuses a pod without it should the first be gone."""
    arena.expect_refused("foreign-node", arena.top)
    with arena.without(mutation("osfaas-pods-node-pool"), validation("osfaas-pods-node-pool")):
        arena.expect_answered("foreign-node", arena.top)
