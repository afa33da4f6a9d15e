"""Another tenant's pods, asked directly on every port that Knative or a function opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.isolation.attack import Outcome
from tenancy.isolation.targets import FUNCTION_PORTS
from tenancy.isolation.verdict import Verdict
from tests.isolation.arena import REFUSALS

if TYPE_CHECKING:
    from tests.isolation.arena import Arena


_ALL = [f"pod-ip-{port}" for port in FUNCTION_PORTS]


def test_a_tenant_reaches_no_port_of_another_tenants_pod(arena: Arena) -> None:
    """Every port is closed, and the pod itself shows that it listens there."""
    assert {arena.defended[name].verdict for name in _ALL} == {Verdict.DEFENDED}, [arena.defended[n] for n in _ALL]


def test_the_tenants_own_policy_keeps_it_from_pods_that_nobody_protects(arena: Arena) -> None:
    """The victim at level L1 admits everybody; the attacker's default deny is enough."""
    found = arena.find(_ALL, arena.low_victim)
    assert {found[name].verdict for name in _ALL} == {Verdict.DEFENDED}, found


def test_the_victims_policy_keeps_out_pods_that_may_connect_anywhere(arena: Arena) -> None:
    """The attacker at level L1 may connect anywhere; the victim's default deny is enough."""
    found = arena.find(_ALL, arena.low)
    assert {found[name].evidence.outcome for name in _ALL} <= REFUSALS, found
    assert {found[name].control.outcome for name in _ALL} == {Outcome.ANSWERED}, found


def test_without_both_policies_every_port_answers(arena: Arena) -> None:
    """From a namespace of no tenant to a victim at level L1: the victim's secret word comes back."""
    found = arena.find(_ALL, arena.outsider)
    for name in _ALL:
        assert found[name].evidence.outcome is Outcome.ANSWERED, found[name]
        assert arena.outsider.victim.word in found[name].evidence.detail
