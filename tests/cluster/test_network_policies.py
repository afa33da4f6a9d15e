"""Cilium enforces NetworkPolicies. Each blocked way has a positive control: 'blocked' must not mean 'broken'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.commands import wait_until
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.probes import Outcome, serve_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Pod, Testbed

_SETTLING_SECONDS = 10


@dataclass(frozen=True)
class Stage:
    """One server with two ports, a neighbour in its namespace and a stranger in another."""

    server: Pod
    neighbour: Pod
    stranger: Pod


@pytest.fixture
def stage(cluster: Testbed) -> Iterator[Stage]:
    with cluster.namespace("own") as own, cluster.namespace("other", {"team": "other"}) as other:
        yield Stage(
            server=cluster.start_pod(own, "server", 8000, 8001),
            neighbour=cluster.start_pod(own, "neighbour"),
            stranger=cluster.start_pod(other, "stranger"),
        )


def policy(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def expect(cluster: Testbed, source: Pod, target: str, outcome: Outcome) -> None:
    """The outcome, at the latest when the policy has had time to count."""
    seen: list[str] = []

    def as_wanted() -> bool:
        reply = cluster.curl_from_pod(source, target, seconds=2)
        seen.append(f"{reply.outcome.value} {reply.problem}")
        return reply.outcome is outcome

    wait_until(f"{source.name} → {target}: {outcome.value}, seen {seen}", as_wanted, seconds=_SETTLING_SECONDS)


def url(pod: Pod, port: int) -> str:
    return f"http://{pod.address}:{port}/"


def test_without_a_policy_everything_is_open(cluster: Testbed, stage: Stage) -> None:
    """The positive control of all that follows, and a closed port, which is refused, not timed out."""
    for source in (stage.neighbour, stage.stranger):
        for port in (8000, 8001):
            expect(cluster, source, url(stage.server, port), Outcome.ANSWERED)
        expect(cluster, source, url(stage.server, 8002), Outcome.REFUSED)


def test_default_deny_closes_and_its_removal_opens(cluster: Testbed, stage: Stage) -> None:
    """Nobody gets in; without the policy everybody does again."""
    own = stage.server.namespace
    expect(cluster, stage.neighbour, url(stage.server, 8000), Outcome.ANSWERED)
    cluster.kubectl.apply(policy(own, "deny", policyTypes=["Ingress"]))
    expect(cluster, stage.neighbour, url(stage.server, 8000), Outcome.TIMED_OUT)
    expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.TIMED_OUT)
    cluster.kubectl("delete", "networkpolicy", "deny", "-n", own)
    expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.ANSWERED)


def test_a_namespace_rule_admits_that_namespace_only(cluster: Testbed, stage: Stage) -> None:
    """The stranger's namespace is admitted by its label; the neighbour is not."""
    peer = {"namespaceSelector": {"matchLabels": {"team": "other"}}}
    rule = policy(stage.server.namespace, "team", policyTypes=["Ingress"], ingress=[{"from": [peer]}])
    cluster.kubectl.apply(rule)
    expect(cluster, stage.neighbour, url(stage.server, 8000), Outcome.TIMED_OUT)
    expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.ANSWERED)


def test_a_port_rule_admits_that_port_only(cluster: Testbed, stage: Stage) -> None:
    """8000 is open, 8001 of the same pod is not."""
    ports = [{"protocol": "TCP", "port": 8000}]
    cluster.kubectl.apply(policy(stage.server.namespace, "port", policyTypes=["Ingress"], ingress=[{"ports": ports}]))
    expect(cluster, stage.stranger, url(stage.server, 8001), Outcome.TIMED_OUT)
    expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.ANSWERED)


def test_egress_to_the_openstack_side_by_address_and_port(cluster: Testbed, stage: Stage) -> None:
    """One port of one address outside is open; its other port and the pods are not."""
    outside = f"http://{OPENSTACK_ADDRESS}"
    block = {"ipBlock": {"cidr": f"{OPENSTACK_ADDRESS}/32"}}
    with cluster.openstack_server(serve_command(8080, 8081)):
        for port in (8080, 8081):
            expect(cluster, stage.stranger, f"{outside}:{port}/", Outcome.ANSWERED)
        expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.ANSWERED)
        egress = [{"to": [block], "ports": [{"protocol": "TCP", "port": 8080}]}]
        cluster.kubectl.apply(policy(stage.stranger.namespace, "out", policyTypes=["Egress"], egress=egress))
        expect(cluster, stage.stranger, f"{outside}:8081/", Outcome.TIMED_OUT)
        expect(cluster, stage.stranger, url(stage.server, 8000), Outcome.TIMED_OUT)
        expect(cluster, stage.stranger, f"{outside}:8080/", Outcome.ANSWERED)
