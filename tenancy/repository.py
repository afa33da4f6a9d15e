"""The stored records: `Tenant` objects in a cluster, one writer of `spec` at a time."""

from typing import Any, Protocol

from policies.names import ProjectId, namespace_of
from tenancy.kubernetes.client import Cluster, Ref
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.record import TenantRecord, manifest_of, record_of

# Of administrators' commands, to be told apart from the controller in an object's managed fields.
ADMIN_MANAGER = "osfaas-admin"

# Fields of a spec that are absent when they do not apply.
_OPTIONAL = ("suspended", "offboarding")


class Tenants(Protocol):
    """The records of all tenants."""

    def list(self) -> tuple[TenantRecord, ...]:
        """All of them, by name.

        Raises:
            ClusterError: the list is not complete.
            RecordError: one is not well formed.
        """
        ...

    def get(self, project_id: ProjectId) -> TenantRecord | None:
        """The record of a project, or None.

        Raises:
            ClusterError: the API server did not say.
            RecordError: it is not well formed.
        """
        ...

    def create(self, record: TenantRecord) -> TenantRecord:
        """Stores a new record.

        Raises:
            ConflictError: there is one already.
            ClusterError: the API server refuses it.
        """
        ...

    def update(self, record: TenantRecord) -> TenantRecord:
        """Stores another spec over the version that was read (`record.resource_version`).

        Raises:
            ConflictError: somebody else has changed it since.
            ClusterError: the API server refuses it.
        """
        ...


class ClusterTenants:
    """`Tenants` of a Kubernetes cluster."""

    def __init__(self, cluster: Cluster, *, manager: str = ADMIN_MANAGER) -> None:
        self._cluster = cluster
        self._manager = manager

    def list(self) -> tuple[TenantRecord, ...]:
        """See `Tenants`."""
        records = (record_of(item) for item in self._cluster.list(TENANTS).items)
        return tuple(sorted(records, key=lambda record: record.name))

    def get(self, project_id: ProjectId) -> TenantRecord | None:
        """See `Tenants`."""
        found = self._cluster.get(ref_of_tenant(namespace_of(project_id)))
        return record_of(found) if found else None

    def create(self, record: TenantRecord) -> TenantRecord:
        """See `Tenants`."""
        return record_of(self._cluster.create(manifest_of(record), manager=self._manager))

    def update(self, record: TenantRecord) -> TenantRecord:
        """See `Tenants`."""
        spec: dict[str, Any] = manifest_of(record)["spec"]
        patch = {
            "metadata": {"resourceVersion": record.resource_version},
            # In a merge patch, null takes a field away.
            "spec": {**{field: None for field in _OPTIONAL if field not in spec}, **spec},
        }
        return record_of(self._cluster.merge(ref_of_tenant(record.name), patch, manager=self._manager))


def ref_of_tenant(name: str) -> Ref:
    """The `Tenant` object of this name."""
    return Ref(TENANTS, "", name)
