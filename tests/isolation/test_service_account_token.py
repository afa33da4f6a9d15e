"""A token of a service account speaks to the Kubernetes API as that account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.isolation.arena import validation

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


def test_no_token_lies_in_a_tenants_pod(arena: Arena) -> None:
    """A pod that says nothing about it gets one outside of tenants' namespaces."""
    arena.assert_defended("service-account-token")
    arena.expect_answered("service-account-token", arena.outsider)


def test_a_pod_that_asks_for_one_is_refused(arena: Arena) -> None:
    """The admission policy on tokens is what holds."""
    arena.assert_defended("pod-asks-for-token")
    with arena.without(validation("osfaas-pods-without-token")):
        arena.expect_answered("pod-asks-for-token", arena.tenant)
