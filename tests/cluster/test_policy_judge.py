"""A judge that is not ours agrees with Cilium on every case of NetworkPolicies that it tries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cluster.judge import bring_judge, judge_policies
from tests.cluster.progress import say

if TYPE_CHECKING:
    from tests.cluster.testbed import Testbed

# A fifth of its default set, chosen for what tenants' isolation rests on: whom a policy is for, policies that come and
# go, labels that change, namespaces by label, address blocks. The whole set takes three quarters of an hour:
# TEST_CLUSTER_JUDGE=all, or `make cluster-cyclonus`. Its last result is in docs/how-to/test-cluster.md.
_TAGS = ("target", "action", "namespaces-by-label", "peer-ipblock")


@pytest.mark.timeout(6000)
def test_every_case_is_decided_as_cyclonus_reads_it(cluster: Testbed) -> None:
    """How many of how many, and none wrong."""
    tags = () if os.environ.get("TEST_CLUSTER_JUDGE") == "all" else _TAGS
    bring_judge(cluster)
    verdict = judge_policies(cluster.running, tags)
    say(f"cyclonus: {verdict}")
    assert verdict.cases >= (112 if not tags else 22)
    assert verdict.wrong == ()
