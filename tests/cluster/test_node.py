"""The node: Ready, reachable from this machine, and in namespaces of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes import client

from tests.cluster.commands import wait_until
from tests.cluster.node.facts import NODE_INTERFACE, OPENSTACK_ADDRESS
from tests.cluster.probes import Outcome, serve_command
from tests.cluster.recipes.components import KUBERNETES_VERSION

if TYPE_CHECKING:
    from tests.cluster.testbed import Testbed


def test_the_node_is_ready_at_the_pinned_version(cluster: Testbed) -> None:
    """The official client, through the loopback port, sees one Ready node."""
    nodes: list[Any] = client.CoreV1Api(cluster.api).list_node().items
    (node,) = nodes
    conditions = {condition.type: condition.status for condition in node.status.conditions}
    assert conditions["Ready"] == "True"
    assert node.status.node_info.kubelet_version == KUBERNETES_VERSION


def test_the_machines_own_network_is_untouched(cluster: Testbed) -> None:
    """The node's interface exists on the node and not on this machine."""
    assert not Path(f"/sys/class/net/{NODE_INTERFACE}").exists()
    assert cluster.running.is_ready


def test_names_of_services_resolve_in_a_pod(cluster: Testbed) -> None:
    """A name that exists is answered; one that does not is broken, never 'blocked'."""
    with cluster.namespace("names") as namespace:
        pod = cluster.start_pod(namespace, "asker")
        known = cluster.curl_from_pod(pod, "https://kubernetes.default.svc.cluster.local/version", "--insecure")
        unknown = cluster.curl_from_pod(pod, "http://nobody.default.svc.cluster.local/")
    assert (known.outcome, known.status) == (Outcome.ANSWERED, 200)
    assert unknown.outcome is Outcome.BROKEN


def test_a_server_on_the_openstack_side_is_outside_the_cluster(cluster: Testbed) -> None:
    """Pods and the node reach it; it reaches pods; a port where nobody listens is refused."""
    url = f"http://{OPENSTACK_ADDRESS}:8080/"
    with cluster.namespace("outside") as namespace, cluster.openstack_server(serve_command(8080)):
        pod = cluster.start_pod(namespace, "inside", 8000)
        wait_until("server", lambda: cluster.curl_from_node(url).answered, seconds=10)
        assert cluster.curl_from_pod(pod, url).body == "8080"
        assert cluster.curl_from_pod(pod, f"http://{OPENSTACK_ADDRESS}:8081/").outcome is Outcome.REFUSED
        assert cluster.curl_from_openstack(f"http://{pod.address}:8000/").body == "8000"
