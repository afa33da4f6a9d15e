"""The product's way onto a cluster, with the node's credentials and the harness's progress lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.kubernetes.client import connect
from tenancy.platform.rollout import Rollout
from tests.cluster.progress import say
from tests.machine import scaled

if TYPE_CHECKING:
    from tests.cluster.platform.kubectl import Kubectl


def rollout(kubectl: Kubectl, wait_seconds: float = 120) -> Rollout:
    """One for each part: their connections are not shared between the threads of the boot."""
    return Rollout(connect(kubectl.kubeconfig), say, scaled(wait_seconds))
