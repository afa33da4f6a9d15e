"""A directory of the cluster's `Tenant` objects: listed, then watched, in a separate thread.

It writes nothing, so the gateway only needs permission to read Tenants. Lookups neither wait nor lock: a list replaces
the mapping as a whole, and a change sets or removes one entry, so that its cost does not grow with the tenants.

While the API server is unreachable, the last known state stays in force. A record that is missing from a complete
list, or whose deletion the watch reports, is no longer served. A malformed record grants nothing and is logged; other
records are not affected.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from policies.model import Manifest
from policies.names import NamespaceName, ProjectId, function_host
from tenancy.directory.protocol import FunctionAddress, FunctionProblem, Tenant
from tenancy.kubernetes.client import Change
from tenancy.kubernetes.informer import Reflector, Source, WatchedKind, WatchIntervals
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import DirectoryError, NotOnboardedError
from tenancy.model.reasons import NOT_READY
from tenancy.model.record import ProjectState, TenantRecord, record_of
from tenancy.model.suspension import suspension_of

log = logging.getLogger(__name__)


class KubernetesDirectory:
    """`TenantDirectory` and `DomainDirectory` from `Tenant` objects."""

    def __init__(
        self,
        source: Source,
        *,
        local_gateway_url: str,
        intervals: WatchIntervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sends no request yet: see `start`.

        Args:
            source: the cluster.
            local_gateway_url: base URL of all functions, which are distinguished by Host; without a trailing slash.
            intervals: of lists and retries.
            clock: monotonic seconds.
        """
        self._reflector = Reflector(source, WatchedKind(TENANTS), self, intervals=intervals, clock=clock)
        self._local_gateway_url = local_gateway_url
        self._clock = clock
        # Of the watch thread alone: a deleted record may be malformed, so its name must do.
        self._projects: dict[str, ProjectId] = {}
        # Written by the watch thread; None before the first complete list.
        self._tenants: dict[ProjectId, Tenant] | None = None
        self._seen_at: float | None = None
        self._ending = threading.Event()

    def start(self) -> None:
        """Starts the watch thread, until `close`."""
        threading.Thread(target=self._reflector.run, args=(self._ending,), name="tenant-directory", daemon=True).start()

    def close(self) -> None:
        """Ends the thread at the next event; the process need not wait for that."""
        self._ending.set()

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        if self._tenants is None:
            raise DirectoryError("the Kubernetes API has not been reached since this process started")
        try:
            return self._tenants[project_id]
        except KeyError:
            raise NotOnboardedError(project_id) from None

    def project_in(self, namespace: NamespaceName) -> ProjectId | None:
        """The project of a tenant's namespace, whose name is that of the record."""
        return self._projects.get(namespace)

    def namespaces_in(self, domain_id: str) -> frozenset[NamespaceName]:
        """See `DomainDirectory`."""
        # A copy: the watch thread may change the mapping meanwhile.
        tenants = list((self._tenants or {}).values())
        return frozenset(tenant.namespace for tenant in tenants if domain_id and tenant.domain_id == domain_id)

    def sync_age_seconds(self) -> float | None:
        return None if self._seen_at is None else max(0.0, self._clock() - self._seen_at)

    def replace(self, items: tuple[Manifest, ...]) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""
        found = {item["metadata"]["name"]: tenant for item in items if (tenant := self._parsed(item)) is not None}
        self._projects = {name: tenant.project_id for name, tenant in found.items()}
        self._tenants = {tenant.project_id: tenant for tenant in found.values()}
        self.confirm()
        log.info("the cluster has %d tenants", len(found))

    def apply(self, change: Change) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""
        assert self._tenants is not None, "a watch follows a list"
        name = change.object["metadata"]["name"]
        tenant = None if change.type == "DELETED" else self._parsed(change.object)
        if tenant is not None:
            self._projects[name] = tenant.project_id
            self._tenants[tenant.project_id] = tenant
        elif (project := self._projects.pop(name, None)) is not None:
            del self._tenants[project]
        self.confirm()

    def confirm(self) -> None:
        """See `tenancy.kubernetes.informer.Sink`."""
        self._seen_at = self._clock()

    def lose(self, error: Exception, retry_seconds: float) -> None:
        """See `tenancy.kubernetes.informer.Sink`. The known tenants stay in force."""
        age = self.sync_age_seconds()
        known = "no tenant is known yet" if age is None else f"the tenants of {age:.0f} s ago stay in force"
        log.warning("%s; %s; listing again in %.1f s", error, known, retry_seconds)

    def _parsed(self, manifest: Manifest) -> Tenant | None:
        try:
            return tenant_in(manifest, local_gateway_url=self._local_gateway_url)
        except Exception as error:  # noqa: BLE001 - one bad record must not affect the others
            log.error("the record %s is ignored: %r", manifest["metadata"]["name"], error)  # noqa: TRY400
            return None


def tenant_in(manifest: Mapping[str, Any], *, local_gateway_url: str) -> Tenant:
    """The gateway's view of a `Tenant` object.

    Raises:
        RecordError: it is malformed.
    """
    status = manifest.get("status")
    if isinstance(status, Mapping):
        # Conditions are for people. An unknown condition type of a newer controller must not lock a tenant out.
        manifest = {**manifest, "status": {key: value for key, value in status.items() if key != "conditions"}}
    return tenant_of_record(record_of(manifest), local_gateway_url=local_gateway_url)


def tenant_of_record(record: TenantRecord, *, local_gateway_url: str) -> Tenant:
    """The tenant that a record describes.

    Functions of the specification can be called before the controller has reported on them. Only the status shows which
    functions accept callers' own requests.
    """
    spec, reported = record.spec, {function.name: function for function in record.status.functions}
    suspension = suspension_of(record, record.status.project)

    def address(name: str) -> FunctionAddress:
        state = reported.get(name)
        return FunctionAddress(
            local_gateway_url,
            function_host(name, spec.namespace),
            callable=state is not None and state.callable,
            objects=state is not None and state.objects,
            # With an exceeded quota Knative still reports a function as ready, but no pod of it starts.
            problem=FunctionProblem(state.reason or NOT_READY, state.message)
            if state and (state.reason or not state.ready)
            else None,
            tags=state.tags if state else (),
            revision=state.revision if state else "",
            memory_mib=state.memory_mib if state else 0,
        )

    return Tenant(
        project_id=spec.project_id,
        namespace=spec.namespace,
        functions={name: address(name) for name in (*spec.functions, *reported)},
        suspended=suspension.message if suspension else None,
        limits=spec.limits,
        domain_id="" if record.status.project is ProjectState.DELETED else record.status.project_domain,
    )
