"""When a tenant is looked at again though nothing announces a change."""

from dataclasses import replace

import pytest

from policies.model import Manifest
from tenancy.reconcile import _settled
from tenancy.record import FunctionStatus
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
