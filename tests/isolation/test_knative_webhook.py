"""Knative's admission webhook is for the API server alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """No policy of its own can tell the API server from others; the tenant's default deny is what holds."""
    arena.assert_defended("knative-webhook")
    arena.expect_answered("knative-webhook", arena.low)
