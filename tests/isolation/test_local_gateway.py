"""The local gateway is shared by all tenants: another tenant's Host, sent to it, must not get through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.isolation.arena import authorization, network_policy
from tests.isolation.function import running_function

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

_CLOSED_AT_THE_GATEWAY = ("local-gateway-by-cluster-ip", "local-gateway-by-pod-ip-8081")
_ALL = (*_CLOSED_AT_THE_GATEWAY, "local-gateway-by-pod-ip-80")


@pytest.mark.parametrize("name", _ALL)
def test_a_tenant_does_not_reach_it(arena: Arena, name: str) -> None:
    """Neither by its ClusterIP nor by the address of its pods."""
    arena.assert_defended(name)


@pytest.mark.parametrize("name", _CLOSED_AT_THE_GATEWAY)
def test_it_is_closed_even_to_pods_that_may_connect_anywhere(arena: Arena, name: str) -> None:
    """Its own policy holds without the tenant's, and the other way round; without both, the function answers."""
    running_function(arena)
    arena.expect_refused(name, arena.low)
    with arena.without(network_policy("istio-system", "osfaas-ingress")):
        evidence = arena.expect_answered(name, arena.low)
        arena.expect_refused(name, arena.tenant)
    assert evidence.detail.startswith("HTTP/1.1"), evidence


def test_its_public_port_refuses_inner_names_to_those_who_reach_it(arena: Arena) -> None:
    """Port 80 is open to whom the network lets through; without the rule it says that it knows no such host."""
    name = "local-gateway-by-pod-ip-80"
    assert "RBAC: access denied" in arena.expect_refused(name, arena.low).detail
    with arena.without(authorization("istio-system", "osfaas-inner-hosts")):
        assert arena.expect_answered(name, arena.low).detail.startswith("HTTP/1.1 404")
