"""The activator is a confused deputy: it calls whichever tenant the request names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.isolation.arena import network_policy
from tests.isolation.function import running_function

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


_FORGED = ("activator-forged-headers-8012", "activator-forged-headers-8013")
_POLICIES = tuple(network_policy("knative-serving", f"osfaas-{name}") for name in ("deny-all", "activator", "webhooks"))


@pytest.mark.parametrize("name", [*_FORGED, "activator-by-host"])
def test_a_tenant_does_not_reach_it(arena: Arena, name: str) -> None:
    """Not with forged Knative-Serving headers, over HTTP/1 or h2c, nor by Host."""
    arena.assert_defended(name)


def test_it_is_closed_even_to_pods_that_may_connect_anywhere(arena: Arena) -> None:
    """Its own policy holds without the tenant's, and the other way round; without both, the function answers."""
    running_function(arena)
    arena.expect_refused("activator-forged-headers-8012", arena.low)
    with arena.without(*_POLICIES):
        arena.expect_refused("activator-forged-headers-8012", arena.tenant)
        # It may have gone to sleep meanwhile, and a cold start is longer than the attack waits for an answer.
        running_function(arena)
        evidence = arena.expect_answered("activator-forged-headers-8012", arena.low)
        arena.expect_answered("activator-forged-headers-8013", arena.low)
    assert evidence.detail.startswith("HTTP/1.1"), evidence
