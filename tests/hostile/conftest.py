"""Hostile bytes before a real gateway, Keystone and Swift, over real sockets."""

# The fixtures of the integration tests, by their names.
from conftest import alice, bucket, cloud, function, gateway, start_gateway
from faulty import faulty, faulty_gateway

__all__ = ["alice", "bucket", "cloud", "faulty", "faulty_gateway", "function", "gateway", "start_gateway"]
