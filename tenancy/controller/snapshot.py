"""A complete snapshot of a tenant's objects, or an error: a plan from a partial one would delete unseen objects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from policies.model import Manifest
from policies.names import NamespaceName
from tenancy.kubernetes.client import Cluster, Kind, Ref, ref_of
from tenancy.kubernetes.kinds import (
    BUILD_KINDS,
    DEPLOYMENT,
    KNATIVE_SERVICE,
    NAMESPACE,
    OWNED_KINDS,
    POD,
    SERVICE_LABEL,
)
from tenancy.model.errors import ForbiddenError, KindMissingError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects of a tenant on the cluster.

    Attributes:
        namespace: its namespace, or None.
        objects: all objects of the owned kinds in it, including the tenant's own, and any others that are wanted.
        missing_kinds: kinds that the cluster does not serve.
        deployments: Knative's, in the namespace.
        pods: all of the namespace; None if listing them is forbidden, because the RoleBinding does not exist yet.
    """

    namespace: Manifest | None
    objects: Mapping[Ref, Manifest] = field(default_factory=dict)
    missing_kinds: frozenset[Kind] = frozenset()
    deployments: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] | None = ()

    @property
    def services(self) -> tuple[Manifest, ...]:
        """The Knative Services, ours and the tenant's."""
        return tuple(found for ref, found in self.objects.items() if ref.kind == KNATIVE_SERVICE)


def take_snapshot(
    cluster: Cluster,
    namespace: NamespaceName,
    wanted: Iterable[Manifest],
    known: Mapping[Ref, Manifest] = MappingProxyType({}),
) -> Snapshot:
    """Reads everything that a plan for the tenant needs.

    Args:
        cluster: to read from.
        namespace: of the tenant.
        wanted: what is wanted.
        known: the objects of builds, which were read before.

    Raises:
        ClusterError: any part of it could not be read.
    """
    refs = [ref for ref in map(ref_of, wanted) if ref.kind not in BUILD_KINDS]
    found = cluster.get(Ref(NAMESPACE, "", namespace))
    kinds = dict.fromkeys((*OWNED_KINDS, *(ref.kind for ref in refs if ref.namespace == namespace)))
    objects: dict[Ref, Manifest] = dict(known)
    missing = set()
    for kind in kinds:
        try:
            items = cluster.list(kind, namespace=namespace).items
        except KindMissingError:
            missing.add(kind)
        else:
            objects.update((ref_of(item), item) for item in items)
    for ref in refs:
        if ref.namespace == namespace or ref.kind == NAMESPACE:
            continue
        try:
            other = cluster.get(ref)
        except KindMissingError:
            missing.add(ref.kind)
        else:
            objects.update({ref: other} if other else {})
    deployments, pods = _running(cluster, namespace)
    return Snapshot(found, objects, frozenset(missing), deployments, pods)


def _running(cluster: Cluster, namespace: NamespaceName) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...] | None]:
    """Deployments and pods. The RoleBinding that allows listing them is an object of the tenant, and may be missing."""
    try:
        deployments = cluster.list(DEPLOYMENT, namespace=namespace, labels=SERVICE_LABEL).items
        return deployments, cluster.list(POD, namespace=namespace).items
    except ForbiddenError:
        return (), None
