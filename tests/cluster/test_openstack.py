"""Keystone and Swift stand outside the cluster: users reach them, and pods do as far as policies let them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.probes import Outcome

if TYPE_CHECKING:
    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed


def test_a_user_stores_an_object_that_a_pod_can_read_only_with_a_token(cluster: Testbed, openstack: OpenStack) -> None:
    """The object goes in from outside; a pod without a token gets 401, with the user's token the bytes."""
    alice = openstack.outside.session("alice")
    container = f"{openstack.outside.account_url('alice')}/box"
    assert alice.put(container).status_code in {201, 202}
    assert alice.put(f"{container}/note", data=b"from outside").status_code == 201
    url = f"{openstack.inside.account_url('alice')}/box/note"
    with cluster.namespace("reader") as namespace:
        pod = cluster.start_pod(namespace, "reader")
        bare = cluster.curl_from_pod(pod, url)
        token = openstack.outside.token("alice")
        read = cluster.curl_from_pod(pod, url, "--header", f"X-Auth-Token: {token}")
    assert (bare.outcome, bare.status) == (Outcome.ANSWERED, 401)
    assert (read.status, read.body) == (200, "from outside")
