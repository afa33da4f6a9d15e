"""Addresses and names of the test cluster. Tests may rely on them."""

from __future__ import annotations

NODE_NAME = "node0"
# The two ends of the one cable: the node and, outside the cluster, the OpenStack side.
NODE_INTERFACE = "node0"
OPENSTACK_INTERFACE = "openstack0"
NODE_ADDRESS = "10.10.0.2"
OPENSTACK_ADDRESS = "10.10.0.1"
OPENSTACK_NETWORK = "openstack"  # the name of its network namespace, inside the node's /run/netns
CABLE_PREFIX = 24

POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
API_PORT = 6443

CGROUP_PREFIX = "test-cluster-"
