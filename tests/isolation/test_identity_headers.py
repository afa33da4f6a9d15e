"""Own code that speaks to the gateway inside the cluster, with the fields by which middleware names a caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from tenancy.isolation.pods import decoy_pod
from tenancy.isolation.targets import PlatformPod
from tests.cluster.layout import CHECKOUT
from tests.isolation.arena import IMAGE, network_policy

if TYPE_CHECKING:
    from tests.isolation.arena import Arena

NAME, POLICY = "identity-headers", "gateway-from-edge"


def test_own_code_reaches_no_gateway(arena: Arena) -> None:
    """The gateway's own policy, on a pod in its place; that it believes no such field, its own tests show."""
    manifests = yaml.safe_load_all((CHECKOUT / "manifests/gateway/network.yaml").read_text(encoding="utf-8"))
    policy = next(each for each in manifests if each["metadata"]["name"] == POLICY)
    with arena.cluster.namespace("iso-gateway") as namespace:
        pod = decoy_pod(namespace, "gateway", IMAGE, "reached")
        pod["spec"]["containers"][0]["command"][-len(_ports(pod)) :] = ["8788"]
        pod["spec"]["containers"][0]["readinessProbe"]["tcpSocket"]["port"] = 8788
        pod["metadata"]["labels"] = {"app.kubernetes.io/name": "osfaas-gateway"}
        policy["metadata"]["namespace"] = namespace
        arena.cluster.kubectl.apply(pod, policy)
        arena.cluster.kubectl("wait", "--for=condition=Ready", "pod/gateway", "-n", namespace, "--timeout=90s")
        address = arena.cluster.kubectl.get("pod", "gateway", "-n", namespace)["status"]["podIP"]
        placed = replace(arena, targets=replace(arena.targets, own_gateway=PlatformPod(address, ready=True)))
        placed.expect_refused(NAME, arena.tenant)
        placed.expect_refused(NAME, arena.low)
        with arena.without(network_policy(namespace, POLICY)):
            # The tenant's own policy keeps it from everything; the one at level L1 has none.
            placed.expect_refused(NAME, arena.tenant)
            assert "reached" in placed.expect_answered(NAME, arena.low).detail


def _ports(pod: dict[str, Any]) -> list[str]:
    return [word for word in pod["spec"]["containers"][0]["command"] if word.isdecimal()]
