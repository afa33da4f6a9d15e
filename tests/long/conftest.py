"""A real gateway, Keystone, Swift and function under load, for as long as a test wants."""

# The fixtures of the integration tests, by their names.
from conftest import alice, bucket, cloud, function, gateway, start_gateway

__all__ = ["alice", "bucket", "cloud", "function", "gateway", "start_gateway"]
