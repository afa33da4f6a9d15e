"""Watch loops, one per kind, that enqueue a tenant when its record or an object in its namespace changes.

The controller is level-triggered: an event says only *that* something changed, and the reconcile reads the state
itself. A lost event therefore costs time but never correctness, and the list that restarts a watch covers the gap.
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
# A kind that the cluster does not serve may be installed later.
_MISSING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WatchedKind:
    """A kind to watch, and a label selector."""

    kind: Kind
    labels: str = ""


_OURS = f"{MANAGED_BY}={MANAGED_BY_US}"
# In addition to the records themselves.
WATCHED_KINDS = (
    WatchedKind(NAMESPACE, TENANT),
    *(WatchedKind(kind, _OURS) for kind in OWNED_KINDS if kind != KNATIVE_SERVICE),
    # Includes the tenants' own Services: their state is in the record.
    WatchedKind(KNATIVE_SERVICE),
    # Changes when a function scales: the only sign that a quota may refuse the pods of a Deployment. A watch of
    # Deployments would expose the environment variables of all pods in the cluster.
    WatchedKind(Kind("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler"), SERVICE_LABEL),
)


def tenant_of_object(manifest: Manifest) -> str | None:
    """Name of the tenant that an object belongs to; a record has the name of its namespace."""
    metadata = manifest.get("metadata", {})
    if manifest.get("kind") in {TENANTS.kind, NAMESPACE.kind}:
        name = metadata.get("name", "")
    else:
        name = metadata.get("namespace", "")
    return name if name.startswith(PREFIX) else None


def watch_loop(
    cluster: Cluster,
    watched: WatchedKind,
    enqueue: Callable[[str], None],
    on_failure: Callable[[WatchedKind], None],
    stop: threading.Event,
) -> None:
    """Lists and watches a kind; calls `enqueue` with the tenant's name for each object and change, until `stop`."""
    while not stop.is_set():
        try:
            for name in _names(cluster, watched):
                if stop.is_set():
                    return
                enqueue(name)
        except ExpiredError:
            log.debug("watch of %s expired, listing again", watched.kind.kind)
        except KindMissingError:
            stop.wait(_MISSING_SECONDS)
        except ClusterError as error:
            log.warning("watch of %s broke: %s", watched.kind.kind, error)
            on_failure(watched)
            stop.wait(_RETRY_SECONDS)
        except Exception:
            # Without its watch, only the periodic resync would notice changes of this kind.
            log.exception("watch of %s failed unexpectedly", watched.kind.kind)
            on_failure(watched)
            stop.wait(_RETRY_SECONDS)


def _names(cluster: Cluster, watched: WatchedKind) -> Iterator[str]:
    listing = cluster.list(watched.kind, labels=watched.labels)
    yield from _of(listing.items)
    version = listing.resource_version
    while True:
        for change in cluster.watch(watched.kind, version, labels=watched.labels):
            version = change.object["metadata"]["resourceVersion"]
            if change.type != "BOOKMARK":
                yield from _of((change.object,))


def _of(items: tuple[Manifest, ...]) -> Iterator[str]:
    return (name for name in map(tenant_of_object, items) if name)
