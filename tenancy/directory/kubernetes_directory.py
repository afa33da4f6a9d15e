"""A directory fed by the cluster's `Tenant` objects: listed once, then watched, in a thread of its own.

Nothing is written, so reading Tenants is all that the gateway needs to be allowed. Callers are answered from a
mapping that is never changed, only replaced; looking up a tenant neither waits nor locks.

When the API server is away, what it said last stays in force, for as long as it takes. A record that is gone from a
complete list, or whose deletion the watch shows, is no longer served. A record that is not well formed grants
nothing and is named in the log; the others do not suffer.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from policies.names import ProjectId, function_host
from tenancy.directory.protocol import FunctionAddress, Tenant, Trouble
from tenancy.kubernetes.client import Change, Kind, Listing
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import ClusterError, DirectoryError, ExpiredError, NotOnboardedError
from tenancy.model.record import TenantRecord, record_of
from tenancy.model.suspension import suspension_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When the API server is asked (seconds).

    Attributes:
        relist: after this long everything is listed anew, should a watch ever have lost something.
        first_pause, longest_pause: waiting after failures grows from one to the other; a random part of it is left
            out, so that many replicas do not come back at the same moment.
    """

    relist: float = 600.0
    first_pause: float = 0.2
    longest_pause: float = 15.0


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
        rhythm: Rhythm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing yet: see `start`.

        Args:
            records: the cluster.
            local_gateway_url: where functions are reached, told apart by Host; without a trailing slash.
            rhythm: when the API server is asked.
            clock: seconds, never going back.
        """
        self._records = records
        self._local_gateway_url = local_gateway_url
        self._rhythm = rhythm or Rhythm()
        self._clock = clock
        self._by_name: dict[str, Tenant] = {}
        # Replaced as a whole by the thread, read by everybody; None before the first complete list.
        self._tenants: Mapping[ProjectId, Tenant] | None = None
        self._seen_at: float | None = None
        self._failures = 0
        self._ending = threading.Event()

    def start(self) -> None:
        """Begins to follow the cluster, until `close`."""
        threading.Thread(target=self._follow, name="tenant-directory", daemon=True).start()

    def close(self) -> None:
        """Ends it at the next sign from the cluster; the process need not wait for that."""
        self._ending.set()

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        if self._tenants is None:
            raise DirectoryError("the Kubernetes API has not been reached since this process started")
        try:
            return self._tenants[project_id]
        except KeyError:
            raise NotOnboardedError(project_id) from None

    def contact_age_seconds(self) -> float | None:
        return None if self._seen_at is None else max(0.0, self._clock() - self._seen_at)

    def _follow(self) -> None:
        while not self._ending.is_set():
            try:
                self._list_and_watch()
            except ExpiredError:
                # Not a failure: the server has forgotten what came after our list.
                log.info("the watch of tenants is too old; listing anew")
            except ClusterError as error:
                self._pause(str(error))
            except Exception as error:
                # This thread must outlive whatever a server answers: nobody else would notice new tenants.
                log.exception("following the tenants failed unexpectedly")
                self._pause(repr(error))

    def _list_and_watch(self) -> None:
        listing = self._records.list(TENANTS)
        self._replace(listing)
        since, relist_at = listing.resource_version, self._clock() + self._rhythm.relist
        while not self._ending.is_set() and self._clock() < relist_at:
            began = self._clock()
            for change in self._records.watch(TENANTS, since):
                since = change.object["metadata"]["resourceVersion"]
                self._apply(change)
                if self._ending.is_set():
                    return
            # The server ended the watch in good order, which also says that it is there.
            self._touch()
            self._failures = 0
            if self._clock() - began < self._rhythm.first_pause:
                self._ending.wait(self._rhythm.first_pause)

    def _replace(self, listing: Listing) -> None:
        self._by_name = {
            item["metadata"]["name"]: tenant for item in listing.items if (tenant := self._understood(item)) is not None
        }
        self._publish()
        log.info("the cluster has %d tenants", len(self._by_name))

    def _apply(self, change: Change) -> None:
        # Only here, not after a list: a server that lists but refuses to watch must not be asked ever faster.
        self._failures = 0
        if change.type == "BOOKMARK":
            self._touch()
            return
        name = change.object["metadata"]["name"]
        tenant = None if change.type == "DELETED" else self._understood(change.object)
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

    def _understood(self, manifest: Mapping[str, Any]) -> Tenant | None:
        try:
            return tenant_in(manifest, local_gateway_url=self._local_gateway_url)
        except Exception as error:  # noqa: BLE001 - whatever one record does, the others must not suffer from it
            log.error("the record %s is passed over: %r", manifest["metadata"]["name"], error)  # noqa: TRY400
            return None

    def _pause(self, why: str) -> None:
        self._failures += 1
        longest = min(self._rhythm.longest_pause, self._rhythm.first_pause * 2 ** min(self._failures - 1, 16))
        seconds = longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
        age = self.contact_age_seconds()
        known = "no tenant is known yet" if age is None else f"the tenants of {age:.0f} s ago stay in force"
        log.warning("%s; %s; asking again in %.1f s", why, known, seconds)
        self._ending.wait(seconds)


def tenant_in(manifest: Mapping[str, Any], *, local_gateway_url: str) -> Tenant:
    """The tenant that a `Tenant` object is, as the gateway needs it.

    Raises:
        RecordError: it is not well formed.
    """
    status = manifest.get("status")
    if isinstance(status, Mapping):
        # Conditions are for people. A type of condition that is newer than this gateway must not lock a tenant out.
        manifest = {**manifest, "status": {key: value for key, value in status.items() if key != "conditions"}}
    return tenant_of_record(record_of(manifest), local_gateway_url=local_gateway_url)


def tenant_of_record(record: TenantRecord, *, local_gateway_url: str) -> Tenant:
    """The tenant that a record describes.

    Functions of the specification can be called before the controller has reported on them. What callers may send
    requests of their own to, only the status says.
    """
    spec, reported = record.spec, {function.name: function for function in record.status.functions}
    suspension = suspension_of(record, record.status.project)

    def address(name: str) -> FunctionAddress:
        state = reported.get(name)
        return FunctionAddress(
            local_gateway_url,
            function_host(name, spec.namespace),
            callable=state is not None and state.callable,
            # With an exceeded quota Knative still calls a function ready, but no pod of it starts.
            trouble=Trouble(state.reason or "NotReady", state.message)
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
