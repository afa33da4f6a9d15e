"""Connections to the gateway that all tenants share, until it has no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import PLATFORM, network_policy

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


NAME = "connection-flood"


def test_a_tenant_opens_not_one_connection_to_what_all_share(arena: Arena) -> None:
    """A pod of no tenant opens them all: the local gateway itself limits nobody."""
    arena.assert_defended(NAME)
    refs = [network_policy(PLATFORM.istio_namespace, "osfaas-ingress")]
    with arena.without(*refs):
        arena.expect_answered(NAME, arena.outsider)
