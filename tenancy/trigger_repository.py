"""Stores triggers as `FunctionTrigger` objects, with optimistic locking."""

from typing import Protocol

from policies.names import NamespaceName
from tenancy.kubernetes.client import Cluster, Ref, ref_of
from tenancy.kubernetes.kinds import TRIGGERS
from tenancy.model.trigger import TriggerRecord, TriggerStatus, trigger_manifest_of, trigger_record_of
from tenancy.model.trigger import trigger_status_fields as status_fields

MANAGER = "osfaas-functions-api"
SCHEDULER = "osfaas-scheduler"


class TriggerRepository(Protocol):
    """A repository of triggers. Every method raises ClusterError, and RecordError for a malformed object."""

    def list(self, namespace: NamespaceName) -> tuple[TriggerRecord, ...]:
        """All triggers of a tenant, sorted by function and name."""
        ...

    def create(self, record: TriggerRecord) -> TriggerRecord:
        """Stores a new trigger.

        Raises:
            ConflictError: there is one of this name already.
        """
        ...

    def update(self, record: TriggerRecord) -> TriggerRecord:
        """Replaces the spec of the version that was read (`record.resource_version`).

        Raises:
            ConflictError: it has changed since.
        """
        ...

    def delete(self, record: TriggerRecord) -> None:
        """Deletes the version that was read; does nothing if it is gone.

        Raises:
            ConflictError: it has changed since.
        """
        ...


class KubernetesTriggerRepository:
    """`TriggerRepository` in a Kubernetes cluster; the scheduler also reports with it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def list(self, namespace: NamespaceName) -> tuple[TriggerRecord, ...]:
        """See `TriggerRepository`."""
        records = (trigger_record_of(item) for item in self._cluster.list(TRIGGERS, namespace=namespace).items)
        return tuple(sorted(records, key=lambda record: record.object_name))

    def get(self, namespace: str, object_name: str) -> TriggerRecord | None:
        """One trigger, or None."""
        found = self._cluster.get(Ref(TRIGGERS, namespace, object_name))
        return trigger_record_of(found) if found else None

    def create(self, record: TriggerRecord) -> TriggerRecord:
        """See `TriggerRepository`."""
        return trigger_record_of(self._cluster.create(trigger_manifest_of(record), manager=MANAGER))

    def update(self, record: TriggerRecord) -> TriggerRecord:
        """See `TriggerRepository`."""
        manifest = trigger_manifest_of(record)
        operations = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": record.resource_version},
            {"op": "replace", "path": "/spec", "value": manifest["spec"]},
        ]
        return trigger_record_of(self._cluster.patch(ref_of(manifest), operations, manager=MANAGER))

    def delete(self, record: TriggerRecord) -> None:
        """See `TriggerRepository`."""
        ref = Ref(TRIGGERS, record.namespace, record.object_name)
        self._cluster.delete(ref, uid=record.uid, resource_version=record.resource_version)

    def report(self, record: TriggerRecord, status: TriggerStatus, *, unchanged: bool = False) -> TriggerRecord:
        """Writes parts of the status; the scheduler's only way to write.

        Args:
            record: the trigger, as read.
            status: what is None in it stays as it is.
            unchanged: on the condition that the object is still of the version that was read.

        Raises:
            ConflictError: it is not.
            NotFoundError: the trigger is gone.
        """
        ref = Ref(TRIGGERS, record.namespace, record.object_name)
        metadata = {"resourceVersion": record.resource_version} if unchanged else {}
        patch = {"metadata": metadata, "status": status_fields(status)}
        return trigger_record_of(self._cluster.merge(ref, patch, subresource="status", manager=SCHEDULER))
