"""A container in which a setuid program of an own image gains privileges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_pod_security_refuses_it(arena: Arena) -> None:
    """That no pod of a tenant has gained any, test_container_limits shows from inside."""
    arena.assert_defended("setuid-pod")
    with arena.without_pod_security(arena.tenant):
        arena.expect_answered("setuid-pod", arena.tenant)
