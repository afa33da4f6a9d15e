"""Differences between stores that have Swift's API."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SwiftDialect:
    """How a store deviates from Swift where its answers do not show it.

    Attributes:
        container_keys: whether a TempURL key of a container is honoured.
        conditional_dynamic: whether `If-Match` on a dynamic large object is compared with the ETag that HEAD returns.
    """

    container_keys: bool = True
    conditional_dynamic: bool = True


SWIFT = SwiftDialect()
# Ceph stores a container's key as metadata and never reads it. `If-Match` is compared with the ETag of the empty object
# that has the manifest.
RGW = SwiftDialect(container_keys=False, conditional_dynamic=False)
