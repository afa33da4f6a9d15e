"""CoreDNS as pods: on the node's own address it would be 'host' to Cilium, and no policy could name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.layout import PACKAGE
from tests.cluster.progress import step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.platform.kubectl import Kubectl

MANIFEST: Path = PACKAGE / "manifests" / "coredns.yaml"


def install_dns(kubectl: Kubectl) -> None:
    """DNS answers when this returns."""
    with step("CoreDNS"):
        kubectl("apply", "--server-side", "-f", str(MANIFEST))
        kubectl("rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=120s")
