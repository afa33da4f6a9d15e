"""The versions of all watched objects of the tenants, kept current by one watch per kind.

Only versions are compared, so nothing else of an object is kept: some 200 bytes each.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from policies.model import Manifest
from policies.names import ProjectId
from tenancy.kubernetes.client import Cluster
from tenancy.kubernetes.informer import Reflector, Store, WatchedKind, WatchIntervals
from tenancy.kubernetes.kinds import TENANTS
from tenancy.kubernetes.watches import WATCHED_KINDS, tenant_of_object
from tenancy.model.record import ConditionType, record_of

# Of each watched kind, the record's first, the versions of a tenant's objects by name.
ObjectVersions = tuple[Mapping[str, object], ...]

# A list of everything costs as much as reading a tenth of the tenants directly.
_INTERVALS = WatchIntervals(relist=3600.0)


@dataclass(frozen=True, slots=True)
class ObservedRecord:
    """The part of a record that is needed to enqueue and to count it.

    Attributes:
        project_id: None if the record is malformed, which its reconcile reports.
        ready: status and reason of the condition `Ready`, if there is one.
    """

    name: str
    resource_version: str
    project_id: ProjectId | None = None
    ready: tuple[str, str] | None = None


class TenantStores:
    """A store per watched kind."""

    def __init__(
        self, labels: str, on_change: Callable[[str], None], on_failure: Callable[[WatchedKind], None]
    ) -> None:
        """All are absent before `start`.

        Args:
            labels: selector of the records.
            on_change: called with a tenant's name for each object and change, after the store has it.
            on_failure: called when a watch broke.
        """
        records = WatchedKind(TENANTS, labels)
        self._records = Store(records, tenant_of_object, observed_record, on_change, on_failure)
        self._stores: dict[WatchedKind, Store[ObservedRecord] | Store[str]] = {records: self._records}
        for watched in WATCHED_KINDS:
            self._stores[watched] = Store(watched, tenant_of_object, _version_of, on_change, on_failure)

    def start(self, cluster: Cluster, stop: threading.Event) -> None:
        """Starts a thread per kind; they end at the next event after `stop`."""
        for watched, store in self._stores.items():
            reflector = Reflector(cluster, watched, store, intervals=_INTERVALS)
            name = f"watch-{watched.kind.kind}"
            threading.Thread(target=reflector.run, args=(stop,), name=name, daemon=True).start()

    def records(self) -> tuple[ObservedRecord, ...] | None:
        """All records; None if their store is absent."""
        return self._records.values()

    def versions_of(self, tenant: str) -> ObjectVersions | None:
        """The versions of all watched objects of a tenant; None if a store is absent."""
        versions: list[Mapping[str, object]] = []
        for store in self._stores.values():
            group = store.group(tenant)
            if group is None:
                return None
            versions.append(group)
        return tuple(versions)


def observed_record(manifest: Manifest) -> ObservedRecord:
    """The observed part of a `Tenant` object."""
    metadata = manifest["metadata"]
    try:
        record = record_of(manifest)
    except Exception:  # noqa: BLE001 - one bad record must not end the watch of the others
        return ObservedRecord(metadata["name"], metadata["resourceVersion"])
    conditions = record.status.conditions
    ready = next(((str(each.status), each.reason) for each in conditions if each.type is ConditionType.READY), None)
    return ObservedRecord(metadata["name"], metadata["resourceVersion"], record.spec.project_id, ready)


def _version_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["resourceVersion"])
