"""The platform's own objects on a cluster that may have them already."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tenancy.kubernetes.client import Cluster, ref_of
from tenancy.model.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from policies.model import Manifest


@contextlib.contextmanager
def platform_objects(objects: Cluster, manifests: Iterable[Manifest]) -> Iterator[None]:
    """What is there already stays as it is; what was missing goes away again."""
    made: list[Manifest] = []
    try:
        for manifest in manifests:
            with contextlib.suppress(ConflictError):
                made.append(objects.create(manifest))
        yield
    finally:
        for manifest in reversed(made):
            # A test took it away and brought it back, so by another uid; one that is gone is fine.
            if found := objects.get(ref_of(manifest)):
                objects.delete(ref_of(manifest), uid=found["metadata"]["uid"])
