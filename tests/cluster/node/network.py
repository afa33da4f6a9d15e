"""The node's network: one cable to a second namespace, the OpenStack side. The machine's own is never touched."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.node.facts import (
    CABLE_PREFIX,
    NODE_ADDRESS,
    NODE_INTERFACE,
    OPENSTACK_ADDRESS,
    OPENSTACK_INTERFACE,
    OPENSTACK_NETWORK,
    POD_CIDR,
    SERVICE_CIDR,
)


def make_network() -> None:
    """Called inside the node's new network and mount namespaces."""
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "netns", "add", OPENSTACK_NETWORK])
    peer = ["peer", "name", OPENSTACK_INTERFACE, "netns", OPENSTACK_NETWORK]
    run(["ip", "link", "add", NODE_INTERFACE, "type", "veth", *peer])
    run(["ip", "address", "add", f"{NODE_ADDRESS}/{CABLE_PREFIX}", "dev", NODE_INTERFACE])
    run(["ip", "link", "set", NODE_INTERFACE, "up"])
    run(["ip", "route", "add", "default", "via", OPENSTACK_ADDRESS])
    outside = ["ip", "-n", OPENSTACK_NETWORK]
    run([*outside, "link", "set", "lo", "up"])
    run([*outside, "address", "add", f"{OPENSTACK_ADDRESS}/{CABLE_PREFIX}", "dev", OPENSTACK_INTERFACE])
    run([*outside, "link", "set", OPENSTACK_INTERFACE, "up"])
    for network in (POD_CIDR, SERVICE_CIDR):
        run([*outside, "route", "add", network, "via", NODE_ADDRESS])
    for setting in ("ip_forward", "conf/all/forwarding"):
        Path(f"/proc/sys/net/ipv4/{setting}").write_text("1")
