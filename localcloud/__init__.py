"""A real Keystone and a real Swift on loopback, for the demo and the tests."""

from localcloud.cloud import LocalCloud, User, local_cloud

__all__ = ["LocalCloud", "User", "local_cloud"]
