"""Without a sandbox a pod shares the node's kernel with everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import mutation, validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_admission_decides_where_a_pod_runs(arena: Arena) -> None:
    """One admission policy sets it, a second one refuses a pod without it should the first be gone."""
    arena.expect_refused("no-sandbox", arena.top)
    with arena.without(mutation("osfaas-pods-sandbox"), validation("osfaas-pods-sandbox")):
        arena.expect_answered("no-sandbox", arena.top)
