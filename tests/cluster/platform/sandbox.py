"""The RuntimeClass of gVisor, whose programs the node's containerd starts (`node/containers.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.platform.kubectl import Kubectl

RUNTIME_CLASS = "gvisor"


def install_sandbox(kubectl: Kubectl) -> None:
    """As an operator's guide says it: the name that platform.yaml gives, and containerd's name of the runtime."""
    kubectl.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": RUNTIME_CLASS},
            "handler": "gvisor",
        }
    )
