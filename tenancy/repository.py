"""Stores tenant records as `Tenant` objects, with optimistic locking of `spec`."""

from typing import Any, Protocol

from policies.names import ProjectId, namespace_of
from tenancy.kubernetes.client import Cluster, Ref
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.record import TenantRecord, manifest_of, record_of

# Field manager of administrators' commands, distinct from the controller's.
ADMIN_MANAGER = "osfaas-admin"

# Fields of a spec that are absent when unset.
_OPTIONAL = ("suspended", "offboarding")


class TenantRepository(Protocol):
    """A repository of tenant records."""

    def list(self) -> tuple[TenantRecord, ...]:
        """All records, sorted by name.

        Raises:
            ClusterError: the list is not complete.
            RecordError: a record is malformed.
        """
        ...

    def get(self, project_id: ProjectId) -> TenantRecord | None:
        """The record of a project, or None.

        Raises:
            ClusterError: the API server did not answer.
            RecordError: the record is malformed.
        """
        ...

    def create(self, record: TenantRecord) -> TenantRecord:
        """Stores a new record.

        Raises:
            ConflictError: the project has a record already.
            ClusterError: the API server rejects it.
        """
        ...

    def update(self, record: TenantRecord) -> TenantRecord:
        """Replaces the spec of the version that was read (`record.resource_version`).

        Raises:
            ConflictError: the record has changed since.
            ClusterError: the API server rejects it.
        """
        ...


class KubernetesTenantRepository:
    """`TenantRepository` in a Kubernetes cluster."""

    def __init__(self, cluster: Cluster, *, manager: str = ADMIN_MANAGER) -> None:
        self._cluster = cluster
        self._manager = manager

    def list(self) -> tuple[TenantRecord, ...]:
        """See `TenantRepository`."""
        records = (record_of(item) for item in self._cluster.list(TENANTS).items)
        return tuple(sorted(records, key=lambda record: record.name))

    def get(self, project_id: ProjectId) -> TenantRecord | None:
        """See `TenantRepository`."""
        found = self._cluster.get(ref_of_tenant(namespace_of(project_id)))
        return record_of(found) if found else None

    def create(self, record: TenantRecord) -> TenantRecord:
        """See `TenantRepository`."""
        return record_of(self._cluster.create(manifest_of(record), manager=self._manager))

    def update(self, record: TenantRecord) -> TenantRecord:
        """See `TenantRepository`."""
        spec: dict[str, Any] = manifest_of(record)["spec"]
        patch = {
            "metadata": {"resourceVersion": record.resource_version},
            # In a merge patch, null removes a field.
            "spec": {**{field: None for field in _OPTIONAL if field not in spec}, **spec},
        }
        return record_of(self._cluster.merge(ref_of_tenant(record.name), patch, manager=self._manager))


def ref_of_tenant(name: str) -> Ref:
    """The `Tenant` object of this name."""
    return Ref(TENANTS, "", name)
