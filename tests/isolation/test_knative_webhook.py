"""Knative's admission webhook is for the API server alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.verify.verdict import Verdict

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_a_tenant_does_not_reach_it(arena: Arena) -> None:
    """No policy of the webhook's own can tell the API server from others, so the tenant's default deny is what holds."""
    assert arena.defended["knative-webhook"].verdict is Verdict.DEFENDED, arena.defended["knative-webhook"]
    arena.expect_answered("knative-webhook", arena.low)
