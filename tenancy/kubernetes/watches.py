"""The kinds that the controller watches, and the tenant to whose reconcile a change of an object belongs.

The controller is level-triggered: an event only reports *that* something changed, and a reconcile reads the state
itself (`tenancy.controller.settled`).
"""

from policies.labels import MANAGED_BY, MANAGED_BY_US, TENANT
from policies.model import Manifest
from policies.names import PREFIX
from tenancy.kubernetes.informer import WatchedKind
from tenancy.kubernetes.kinds import (
    FUNCTION_SECRETS,
    FUNCTIONS,
    KNATIVE_SERVICE,
    NAMESPACE,
    OWNED_KINDS,
    POD_AUTOSCALER,
    SERVICE_LABEL,
    TENANTS,
)

_OURS = f"{MANAGED_BY}={MANAGED_BY_US}"
# In addition to the records themselves.
WATCHED_KINDS = (
    WatchedKind(NAMESPACE, TENANT),
    WatchedKind(FUNCTIONS),
    # Which versions of their secrets functions mount; the values are elsewhere.
    WatchedKind(FUNCTION_SECRETS),
    *(WatchedKind(kind, _OURS) for kind in OWNED_KINDS if kind != KNATIVE_SERVICE),
    # Includes the tenants' own Services: their state is in the record.
    WatchedKind(KNATIVE_SERVICE),
    # Changes when a function scales: the only sign that a quota may reject the pods of a Deployment. A watch of
    # Deployments would expose the environment variables of all pods in the cluster.
    WatchedKind(POD_AUTOSCALER, SERVICE_LABEL),
)


def tenant_of_object(manifest: Manifest) -> str | None:
    """Name of the tenant that an object belongs to; a record has the name of its namespace."""
    metadata = manifest.get("metadata", {})
    if manifest.get("kind") in {TENANTS.kind, NAMESPACE.kind}:
        name = metadata.get("name", "")
    else:
        name = metadata.get("namespace", "")
    return name if name.startswith(PREFIX) else None
