"""Hostile bytes before a real gateway, Keystone and Swift, over real sockets."""

# The fixtures of the integration tests, by their names.
from conftest import alice, bucket, cloud, function, gateway, start_gateway

__all__ = ["alice", "bucket", "cloud", "function", "gateway", "start_gateway"]
