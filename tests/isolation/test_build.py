"""A pod of a build, which may run code of packages: it connects to the registry and the index, as no function can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policies.network import BUILDS_OUT, DENY_ALL
from tests.isolation.arena import network_policy

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

# The platform's own policies are enough against the others.
_SHOWN = (
    "build-pod-ip-8080",
    "build-kubernetes-api",
    "build-kubelet",
    "build-metadata-address",
    "build-keystone",
    "build-object-store",
)


def test_no_attack_over_the_network_works_from_a_build(arena: Arena) -> None:
    names = [name for name in arena.defended if name.startswith("build-")]
    assert set(_SHOWN) < set(names)
    for name in names:
        arena.assert_defended(name)


@pytest.mark.parametrize("name", _SHOWN)
def test_it_works_where_the_policy_of_builds_is_gone(arena: Arena, name: str) -> None:
    """Against a victim without policies of its own, which would be enough as well."""
    namespace = arena.tenant.spec.namespace
    with arena.without(network_policy(namespace, DENY_ALL), network_policy(namespace, BUILDS_OUT)):
        arena.expect_answered(name, arena.low_victim)


def test_a_function_does_not_reach_what_builds_reach(arena: Arena) -> None:
    """Without the tenant's egress, as at level L1, it does."""
    arena.assert_defended("registry-1")
    arena.expect_answered("registry-1", arena.low)
