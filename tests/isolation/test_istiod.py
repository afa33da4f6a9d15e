"""istiod knows the whole mesh; 15010 and 8080 tell it to whoever connects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenancy.isolation.verdict import Verdict
from tests.isolation.arena import REFUSALS, network_policy

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


_POLICY = network_policy("istio-system", "osfaas-istiod")


@pytest.mark.parametrize("port", [15010, 15012, 15017, 8080])
def test_a_tenant_does_not_reach_it(arena: Arena, port: int) -> None:
    """No port of it."""
    finding = arena.defended[f"istiod-{port}"]
    assert finding.verdict is Verdict.DEFENDED, finding


def test_it_is_closed_even_to_pods_that_may_connect_anywhere(arena: Arena) -> None:
    """istiod's own policy holds without the tenant's, except for its webhook, which the API server needs."""
    closed = ["istiod-15010", "istiod-15012", "istiod-8080"]
    found = arena.find(closed, arena.low)
    assert {finding.evidence.outcome for finding in found.values()} <= REFUSALS, found
    arena.expect_answered("istiod-15017", arena.low)
    with arena.without(_POLICY):
        for name in closed:
            arena.expect_answered(name, arena.low)
