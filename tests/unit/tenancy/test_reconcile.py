"""When a tenant is looked at again though nothing announces a change."""

import datetime as dt
from dataclasses import replace

import pytest

from policies.model import Manifest
from tenancy.reconcile import _settled, removal_is_due
from tenancy.record import FunctionStatus, Offboarding
from tests.unit.tenancy.objects import SPEC

RUNNING = FunctionStatus("checksums", ready=True)
OWN = FunctionStatus("own", ready=False, callable=False, reason="ImagePull", message="x")


def deployment(wanted: int, ready: int) -> Manifest:
    return {"spec": {"replicas": wanted}, "status": {"readyReplicas": ready} if ready else {}}


@pytest.mark.parametrize(
    ("functions", "deployments", "settled"),
    [
        ((), (), False),
        ((replace(RUNNING, ready=False),), (), False),
        ((replace(RUNNING, reason="QuotaExceeded"),), (), False),
        ((RUNNING, OWN), (), False),
        ((RUNNING,), (deployment(1, 0),), False),
        ((RUNNING,), (deployment(0, 0), deployment(2, 2)), True),
        ((RUNNING,), (), True),
    ],
)
def test_a_pod_that_waits_is_looked_at_again(
    functions: tuple[FunctionStatus, ...], deployments: tuple[Manifest, ...], settled: bool
) -> None:
    """Also one of the tenant's own; asleep is settled."""
    assert _settled(SPEC, functions, deployments) is settled


def test_a_suspended_tenant_waits_for_nothing() -> None:
    """But for pods that are on their way out."""
    suspended = replace(SPEC, suspended="unpaid")
    assert _settled(suspended, (), ())
    assert not _settled(suspended, (), (deployment(1, 0),))


NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("confirmed", "seconds_after_grace", "pods", "due"),
    [
        (False, 1000, False, False),
        (True, -1, False, False),
        (True, 1, True, False),
        (True, 1, False, True),
        (True, 61, True, True),
    ],
)
def test_a_namespace_goes_after_both_steps_the_grace_period_and_its_pods(
    confirmed: bool, seconds_after_grace: int, pods: bool, due: bool
) -> None:
    """Pods are waited for, but one that hangs does not keep the namespace for ever."""
    offboarding = Offboarding(NOON, grace_seconds=3600, confirmed=confirmed)
    now = NOON + dt.timedelta(seconds=3600 + seconds_after_grace)
    assert removal_is_due(offboarding, now, lambda: pods) is due


def test_a_tenant_that_is_not_offboarded_is_never_removed() -> None:
    """However long nobody asks."""
    assert not removal_is_due(None, NOON, lambda: False)
