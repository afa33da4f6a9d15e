"""What makes a tenant be looked at: changes of its record and of what is in its namespace. A watch per kind.

A change says only *that* something happened; the round reads the state itself. So a lost event costs time and never
correctness, and whatever a watch has missed comes with the listing that begins it anew.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policies.labels import MANAGED_BY, MANAGED_BY_US, TENANT
from policies.model import Manifest
from policies.names import PREFIX
from tenancy.kubernetes.client import Cluster, Kind
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, NAMESPACE, OWNED_KINDS, SERVICE_LABEL, TENANTS
from tenancy.model.errors import ClusterError, ExpiredError, KindMissingError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
# A kind that the cluster does not know may be installed later.
_MISSING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Source:
    """A kind that is watched, and which of it."""

    kind: Kind
    labels: str = ""


_OURS = f"{MANAGED_BY}={MANAGED_BY_US}"
# Besides the records themselves.
SOURCES = (
    Source(NAMESPACE, TENANT),
    *(Source(kind, _OURS) for kind in OWNED_KINDS if kind != KNATIVE_SERVICE),
    # The tenants' own as well: their state is in the record.
    Source(KNATIVE_SERVICE),
    # Changes when a function scales, which alone shows that a Deployment may want pods that a quota refuses: a watch of
    # Deployments would show the variables of all pods of the cluster.
    Source(Kind("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler"), SERVICE_LABEL),
)


def tenant_of_object(manifest: Manifest) -> str | None:
    """Name of the tenant that an object concerns; names of records are those of their namespaces."""
    metadata = manifest.get("metadata", {})
    if manifest.get("kind") in {TENANTS.kind, NAMESPACE.kind}:
        name = metadata.get("name", "")
    else:
        name = metadata.get("namespace", "")
    return name if name.startswith(PREFIX) else None


def follow(
    cluster: Cluster,
    source: Source,
    concerns: Callable[[str], None],
    broke: Callable[[Source], None],
    stop: threading.Event,
) -> None:
    """Calls `concerns` with a tenant's name for everything there is and every change, until `stop`."""
    while not stop.is_set():
        try:
            for name in _names(cluster, source):
                if stop.is_set():
                    return
                concerns(name)
        except ExpiredError:
            log.debug("watch of %s: starting anew", source.kind.kind)
        except KindMissingError:
            stop.wait(_MISSING_SECONDS)
        except ClusterError as error:
            log.warning("watch of %s broke: %s", source.kind.kind, error)
            broke(source)
            stop.wait(_RETRY_SECONDS)
        except Exception:
            # A watch that ended for good would leave everything to the rounds over all tenants.
            log.exception("watch of %s: a defect", source.kind.kind)
            broke(source)
            stop.wait(_RETRY_SECONDS)


def _names(cluster: Cluster, source: Source) -> Iterator[str]:
    listing = cluster.list(source.kind, labels=source.labels)
    yield from _of(listing.items)
    version = listing.resource_version
    while True:
        for change in cluster.watch(source.kind, version, labels=source.labels):
            version = change.object["metadata"]["resourceVersion"]
            if change.type != "BOOKMARK":
                yield from _of((change.object,))


def _of(items: tuple[Manifest, ...]) -> Iterator[str]:
    return (name for name in map(tenant_of_object, items) if name)
