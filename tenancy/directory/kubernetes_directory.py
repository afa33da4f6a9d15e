"""A directory of the cluster's `Tenant` objects: listed once, then watched, in a thread of its own.

It writes nothing, so the gateway only needs permission to read Tenants. Lookups use a mapping that is replaced as a
whole and never changed; they neither wait nor lock.

While the API server is unreachable, the last known state stays in force. A record that is missing from a complete
list, or whose deletion the watch reports, is no longer served. A malformed record grants nothing and is logged; other
records are not affected.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from policies.names import ProjectId, function_host
from tenancy.directory.protocol import FunctionAddress, FunctionProblem, Tenant
from tenancy.kubernetes.client import Change, Kind, Listing
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import ClusterError, DirectoryError, ExpiredError, NotOnboardedError
from tenancy.model.record import TenantRecord, record_of
from tenancy.model.suspension import suspension_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchIntervals:
    """Intervals of listing and of retries, in seconds.

    Attributes:
        relist: interval between full lists, in case a watch lost an event.
        first_pause, max_pause: bounds of the exponential backoff after failures; with jitter, so that replicas do not
            reconnect at the same moment.
    """

    relist: float = 600.0
    first_pause: float = 0.2
    max_pause: float = 15.0


class Records(Protocol):
    """The part of `Cluster` that is needed here."""

    def list(self, kind: Kind) -> Listing: ...

    def watch(self, kind: Kind, since: str) -> Iterator[Change]: ...


class KubernetesDirectory:
    """`TenantDirectory` from `Tenant` objects."""

    def __init__(
        self,
        records: Records,
        *,
        local_gateway_url: str,
        intervals: WatchIntervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sends no request yet: see `start`.

        Args:
            records: the cluster.
            local_gateway_url: base URL of all functions, which are distinguished by Host; without a trailing slash.
            intervals: of lists and retries.
            clock: monotonic seconds.
        """
        self._records = records
        self._local_gateway_url = local_gateway_url
        self._intervals = intervals or WatchIntervals()
        self._clock = clock
        self._by_name: dict[str, Tenant] = {}
        # Replaced as a whole by the watch thread; None before the first complete list.
        self._tenants: Mapping[ProjectId, Tenant] | None = None
        self._seen_at: float | None = None
        self._failures = 0
        self._ending = threading.Event()

    def start(self) -> None:
        """Starts the watch thread, until `close`."""
        threading.Thread(target=self._run, name="tenant-directory", daemon=True).start()

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

    def sync_age_seconds(self) -> float | None:
        return None if self._seen_at is None else max(0.0, self._clock() - self._seen_at)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._list_and_watch()
            except ExpiredError:
                # Not a failure: the server no longer has the changes since our list.
                log.info("the watch of tenants expired; listing again")
            except ClusterError as error:
                self._pause(str(error))
            except Exception as error:
                # This thread must survive any response: nothing else notices new tenants.
                log.exception("watching the tenants failed unexpectedly")
                self._pause(repr(error))

    def _list_and_watch(self) -> None:
        listing = self._records.list(TENANTS)
        self._replace(listing)
        since, relist_at = listing.resource_version, self._clock() + self._intervals.relist
        while not self._ending.is_set() and self._clock() < relist_at:
            began = self._clock()
            for change in self._records.watch(TENANTS, since):
                since = change.object["metadata"]["resourceVersion"]
                self._apply(change)
                if self._ending.is_set():
                    return
            # The server ended the watch in good order, so it is reachable.
            self._touch()
            self._failures = 0
            if self._clock() - began < self._intervals.first_pause:
                self._ending.wait(self._intervals.first_pause)

    def _replace(self, listing: Listing) -> None:
        self._by_name = {
            item["metadata"]["name"]: tenant for item in listing.items if (tenant := self._parsed(item)) is not None
        }
        self._publish()
        log.info("the cluster has %d tenants", len(self._by_name))

    def _apply(self, change: Change) -> None:
        # Reset here, not after a list: a server that lists but refuses watches must still be backed off.
        self._failures = 0
        if change.type == "BOOKMARK":
            self._touch()
            return
        name = change.object["metadata"]["name"]
        tenant = None if change.type == "DELETED" else self._parsed(change.object)
        if tenant is None:
            self._by_name.pop(name, None)
        else:
            self._by_name[name] = tenant
        self._publish()

    def _publish(self) -> None:
        self._tenants = {tenant.project_id: tenant for tenant in self._by_name.values()}
        self._touch()

    def _touch(self) -> None:
        self._seen_at = self._clock()

    def _parsed(self, manifest: Mapping[str, Any]) -> Tenant | None:
        try:
            return tenant_in(manifest, local_gateway_url=self._local_gateway_url)
        except Exception as error:  # noqa: BLE001 - one bad record must not affect the others
            log.error("the record %s is ignored: %r", manifest["metadata"]["name"], error)  # noqa: TRY400
            return None

    def _pause(self, why: str) -> None:
        self._failures += 1
        limit = min(self._intervals.max_pause, self._intervals.first_pause * 2 ** min(self._failures - 1, 16))
        seconds = limit * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
        age = self.sync_age_seconds()
        known = "no tenant is known yet" if age is None else f"the tenants of {age:.0f} s ago stay in force"
        log.warning("%s; %s; retrying in %.1f s", why, known, seconds)
        self._ending.wait(seconds)


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

    Functions of the specification can be called before the controller has reported on them. Only the status says which
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
            # With an exceeded quota Knative still reports a function as ready, but no pod of it starts.
            problem=FunctionProblem(state.reason or "NotReady", state.message)
            if state and (state.reason or not state.ready)
            else None,
        )

    return Tenant(
        project_id=spec.project_id,
        namespace=spec.namespace,
        functions={name: address(name) for name in (*spec.functions, *reported)},
        suspended=suspension.message if suspension else None,
        limits=spec.limits,
    )
