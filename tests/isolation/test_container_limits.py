"""System calls, capabilities and setuid programs: what Pod Security restricted takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


@pytest.mark.parametrize("name", ["no-seccomp", "capabilities", "new-privileges"])
def test_a_tenants_pod_is_restricted(arena: Arena, name: str) -> None:
    """The same pod outside of tenants' namespaces, made by somebody who does not care, has them all."""
    arena.assert_defended(name)
    arena.expect_answered(name, arena.outsider)
