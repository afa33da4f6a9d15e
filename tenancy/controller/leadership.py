"""Leader election by a Lease: only the holder reconciles.

The client library's election never releases its Lease, so each restart would cost the whole lease time, and
it cannot be stopped. The rules are the same: the time of a change is taken from the local clock, so that clocks need
not agree; a leader that cannot renew stops before another candidate may take over.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policies.model import Manifest
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tenancy.model.errors import ClusterError, ConflictError

log = logging.getLogger(__name__)

LEASE = Kind("coordination.k8s.io/v1", "Lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Times of the election, in seconds.

    Attributes:
        lease: how long other candidates wait for a silent leader.
        deadline: how long a leader that cannot renew keeps writing; shorter than `lease`.
        retry: interval between two attempts.
    """

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class Leadership:
    """One candidate."""

    def __init__(
        self, cluster: Cluster, lease: Ref, identity: str, terms: Terms, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._lease = lease
        self._identity = identity
        self._terms = terms
        self._clock = clock
        self._renewed = float("-inf")
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0

    @property
    def leads(self) -> bool:
        """Whether this candidate leads, and so may write."""
        return self._clock() - self._renewed < self._terms.deadline

    def run(self, stop: threading.Event, began: Callable[[], None], lost: Callable[[], None]) -> None:
        """Acquires and renews the Lease until `stop`, and then releases it."""
        leading = False
        while not stop.is_set():
            self._try()
            if self.leads and not leading:
                leading = True
                log.info("%s leads", self._identity)
                began()
            if leading and not self.leads:
                log.error("%s could not renew its lease and no longer leads", self._identity)
                lost()
                return
            stop.wait(self._terms.retry)
        if leading:
            self._release()

    def _try(self) -> None:
        # Before the request: a slow answer must not make the lease look longer than it is.
        started = self._clock()
        try:
            if self._take_or_renew():
                self._renewed = started
            elif self._renewed != float("-inf"):
                self._renewed = float("-inf")
        except ConflictError:
            log.debug("%s: another candidate was faster", self._identity)
        except ClusterError as error:
            log.warning("%s: the lease cannot be reached: %s", self._identity, error)

    def _take_or_renew(self) -> bool:
        found = self._cluster.get(self._lease)
        if found is None:
            self._cluster.create(self._manifest(transitions=0))
            return True
        spec = found.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        state = holder, spec.get("renewTime"), spec.get("leaseTransitions")
        if state != self._seen:
            self._seen, self._seen_at = state, self._clock()
        lasts = float(spec.get("leaseDurationSeconds") or self._terms.lease)
        if holder not in {"", self._identity} and self._clock() - self._seen_at < lasts:
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        since = spec.get("acquireTime") if holder == self._identity else None
        self._write(self._manifest(transitions, since), found["metadata"]["resourceVersion"])
        return True

    def _release(self) -> None:
        self._renewed = float("-inf")
        try:
            found = self._cluster.get(self._lease)
            if found and found.get("spec", {}).get("holderIdentity") == self._identity:
                patch = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
                self._write(patch, found["metadata"]["resourceVersion"])
                log.info("%s released its lease", self._identity)
        except ClusterError as error:
            log.warning("%s: the lease could not be released: %s", self._identity, error)

    def _write(self, patch: Manifest, resource_version: str) -> None:
        self._cluster.merge(self._lease, {"metadata": {"resourceVersion": resource_version}, "spec": patch["spec"]})

    def _manifest(self, transitions: int, since: str | None = None) -> Manifest:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._lease.name, "namespace": self._lease.namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._terms.lease)),
                "acquireTime": since or now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
