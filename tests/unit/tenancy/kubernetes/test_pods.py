"""Which running pods are less isolated than a new pod of their tenant would be."""

import dataclasses
from typing import Any

import pytest

from policies.labels import OWN_FUNCTION
from policies.model import IsolationLevel, Platform
from tenancy.kubernetes.pods import pods_below_level
from tests.unit.policies.examples import PLATFORM, SANDBOXED, at

WITH_USER_NAMESPACES = dataclasses.replace(SANDBOXED, sandbox_user_namespaces=True)
FOR_LEVELS_ONLY = dataclasses.replace(SANDBOXED, sandbox_own_functions=False)
MAPPED, SANDBOX = {"hostUsers": False}, {"runtimeClassName": "gvisor"}


@pytest.mark.parametrize(
    ("level", "platform", "own", "spec", "enough"),
    [
        (IsolationLevel.L2, PLATFORM, False, {}, True),
        (IsolationLevel.L3, PLATFORM, False, {}, False),
        (IsolationLevel.L3, PLATFORM, False, MAPPED, True),
        (IsolationLevel.L3, SANDBOXED, False, MAPPED, True),
        # A build of the tenant's, which names the sandbox itself.
        (IsolationLevel.L3, SANDBOXED, False, SANDBOX, True),
        (IsolationLevel.L3, SANDBOXED, True, MAPPED, False),
        (IsolationLevel.L3, SANDBOXED, True, SANDBOX, True),
        (IsolationLevel.L3, SANDBOXED, True, {"runtimeClassName": "other"}, False),
        (IsolationLevel.L3, FOR_LEVELS_ONLY, True, MAPPED, True),
        (IsolationLevel.L3, WITH_USER_NAMESPACES, True, SANDBOX, False),
        (IsolationLevel.L3, WITH_USER_NAMESPACES, True, SANDBOX | MAPPED, True),
        (IsolationLevel.L4, SANDBOXED, False, MAPPED, False),
        (IsolationLevel.L4, SANDBOXED, False, SANDBOX, True),
        (IsolationLevel.L4, PLATFORM, False, MAPPED, True),
    ],
)
def test_a_pod_is_compared_with_what_admission_gives(
    level: IsolationLevel, platform: Platform, own: bool, spec: dict[str, Any], enough: bool
) -> None:
    """By level, and for the tenant's own functions in the sandbox at every level."""
    labels = {OWN_FUNCTION: "hello"} if own else {}
    pod = {"metadata": {"name": "pod", "labels": labels}, "spec": spec, "status": {"phase": "Running"}}
    assert bool(pods_below_level([pod], at(level), platform)) is not enough
