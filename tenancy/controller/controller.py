"""Wires the controller: watches, work queue, workers, Keystone poll, leader election. The work is in `reconcile`."""

import hashlib
import logging
import os
import signal
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenancy.controller.endpoint import HealthServer
from tenancy.controller.execute import NoLongerLeadingError
from tenancy.controller.leadership import LEASE, Leadership, Terms
from tenancy.controller.limit_states import LimitStates
from tenancy.controller.metrics import ControllerMetrics
from tenancy.controller.project_states import ProjectStates
from tenancy.controller.reconcile import Reconciler
from tenancy.controller.stores import ObservedRecord, TenantStores, observed_record
from tenancy.controller.work_queue import WorkQueue
from tenancy.keystone_limits import KeystoneLimits
from tenancy.keystone_projects import connect_projects
from tenancy.kubernetes.client import Cluster, Ref, connect
from tenancy.kubernetes.informer import WatchedKind
from tenancy.kubernetes.kinds import TENANTS
from tenancy.model.errors import ClusterError, PlatformFileError, ProjectsError, RecordError, TenancyError
from tenancy.platform.platform_file import read_platform
from tenancy.registry_credentials import CredentialSigner

log = logging.getLogger(__name__)

_LEASE_NAME = "osfaas-controller"
# Changes that arrive together cause one reconcile.
_SETTLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """Settings of a controller.

    Attributes:
        platform_file: see `tenancy.platform.platform_file`.
        kubeconfig: None: the cluster in which the controller runs.
        listen_host, listen_port: of the health and metrics endpoint.
        workers: maximum number of concurrent reconciles.
        poll_seconds: interval between two reads of Keystone's projects.
        limits_seconds: interval between two reads of Keystone's limits; 0: they are not used.
        service_type: of our service in Keystone's catalog, to which the limits belong.
        resync_seconds: interval at which all tenants are enqueued, regardless of the watches; see `settled`.
        terms: times of the leader election.
        selector: labels of the records that this controller manages; others belong to another controller.
        registry_key_file: private key of the credentials for the registry; needed if the platform file has `builds`.
    """

    platform_file: Path
    kubeconfig: Path | None = None
    listen_host: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus connect from outside the pod
    listen_port: int = 8790
    workers: int = 4
    poll_seconds: float = 60.0
    limits_seconds: float = 20.0
    service_type: str = "function"
    resync_seconds: float = 300.0
    terms: Terms = field(default_factory=Terms)
    selector: Mapping[str, str] = field(default_factory=dict)
    registry_key_file: Path | None = None


class Controller:
    """One replica: stands by until it leads, and exits when it loses the lead, to be restarted."""

    def __init__(
        self, settings: ControllerSettings, cluster: Cluster, states: ProjectStates, limits: LimitStates | None = None
    ) -> None:
        """Reads the platform file.

        Raises:
            PlatformFileError: it is not valid, or the key of the registry's credentials is not.
        """
        self._settings = settings
        self._cluster = cluster
        self._states = states
        self._limits = limits or LimitStates(None, states)
        self._metrics = ControllerMetrics()
        self._queue = WorkQueue()
        self._stop = threading.Event()
        # Reconciles begin after the first read of Keystone's limits: a restart must not put the records' numbers in
        # force for a moment.
        self._limits_asked = threading.Event()
        self._failed = False
        self._labels = ",".join(sorted(f"{key}={value}" for key, value in settings.selector.items()))
        platform = read_platform(settings.platform_file)
        signer = None
        if platform.builds:
            if settings.registry_key_file is None:
                raise PlatformFileError(
                    "builds need the key that signs the registry's credentials: --registry-key-file"
                )
            signer = CredentialSigner.from_file(settings.registry_key_file)
        identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        lease = Ref(LEASE, platform.system_namespace, lease_name(self._labels))
        self._leadership = Leadership(cluster, lease, identity, settings.terms)
        self._stores = TenantStores(self._labels, self._enqueue, self._count_failure)
        self._reconciler = Reconciler(
            cluster,
            platform,
            states,
            self._limits,
            self._metrics,
            lambda: self._leadership.leads,
            self._stores.versions_of,
            settings.selector,
            signer,
        )
        self._working: list[threading.Thread] = []

    def run(self) -> int:
        """Runs until a signal ends it.

        Returns:
            0 after SIGTERM or SIGINT, 1 when it lost the lead.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        with HealthServer(
            self._settings.listen_host, self._settings.listen_port, self._metrics.registry, self._is_healthy
        ):
            self._leadership.run(self._stop, self._begin, self._lose)
        self._stop.set()
        self._limits_asked.set()
        self._queue.close()
        for thread in self._working:
            # A running reconcile ends; it writes nothing any more without the lease.
            thread.join(timeout=self._settings.terms.deadline)
        return int(self._failed)

    def _begin(self) -> None:
        self._metrics.leading.set(1)
        for number in range(self._settings.workers):
            self._working.append(_start(f"worker-{number}", self._work))
        self._stores.start(self._cluster, self._stop)
        _start("keystone", self._poll)
        if self._limits.enabled:
            _start("limits", self._poll_limits)
        else:
            self._limits_asked.set()
        _start("resync", self._resync)

    def _lose(self) -> None:
        self._metrics.leading.set(0)
        self._failed = True

    def _is_healthy(self) -> bool:
        """Whether all workers are alive; a restart may help if one died."""
        return all(thread.is_alive() for thread in self._working) or self._stop.is_set()

    def _enqueue(self, name: str) -> None:
        self._queue.add(name, _SETTLE_SECONDS)

    def _count_failure(self, watched: WatchedKind) -> None:
        self._metrics.watch_failures.labels(watched.kind.kind).inc()

    def _work(self) -> None:
        self._limits_asked.wait()
        while (name := self._queue.get()) is not None:
            result, again = "done", None
            try:
                with self._metrics.reconcile_duration.time():
                    again = self._reconciler.reconcile(name)
            except NoLongerLeadingError:
                self._failed = True
                return self._stop.set()
            except RecordError as error:
                # The next write of the record enqueues it again.
                log.error("%s", error)  # noqa: TRY400 - the traceback adds nothing
                result = "invalid"
            except ClusterError as error:
                log.warning("tenant %s: %s", name, error)
                result = "unavailable"
            except Exception:
                log.exception("reconciling tenant %s failed unexpectedly", name)
                result = "failed"
            self._metrics.reconciles.labels(result).inc()
            if result in {"unavailable", "failed"}:
                self._queue.failed(name)
            else:
                self._queue.done(name, again)
        return None

    def _poll(self) -> None:
        while not self._stop.is_set():
            try:
                names = {record.project_id: record.name for record in self._records() if record.project_id}
                for project_id in self._states.refresh(names):
                    self._queue.add(names[project_id])
                self._metrics.keystone_polls.labels("complete").inc()
                self._metrics.keystone_complete.set_to_current_time()
            except ProjectsError as error:
                log.warning("the states of the projects are unchanged: %s", error)
                self._metrics.keystone_polls.labels("unusable").inc()
            except TenancyError as error:
                log.warning("the tenants cannot be listed: %s", error)
            except Exception:
                log.exception("reading Keystone's projects failed unexpectedly")
            self._stop.wait(self._settings.poll_seconds)

    def _poll_limits(self) -> None:
        while not self._stop.is_set():
            try:
                names = {record.project_id: record.name for record in self._records() if record.project_id}
                for project_id in self._limits.refresh(names):
                    self._queue.add(names[project_id])
                self._metrics.limit_reads.labels("complete").inc()
            except ProjectsError as error:
                log.warning("the limits of the projects are unchanged: %s", error)
                self._metrics.limit_reads.labels("unusable").inc()
            except TenancyError as error:
                log.warning("the tenants cannot be listed: %s", error)
            except Exception:
                log.exception("reading Keystone's limits failed unexpectedly")
            self._limits_asked.set()
            self._stop.wait(self._settings.limits_seconds)

    def _resync(self) -> None:
        while not self._stop.wait(self._settings.resync_seconds):
            try:
                for record in self._records():
                    self._queue.add(record.name)
            except ClusterError as error:
                log.warning("the tenants cannot be listed: %s", error)
            except Exception:
                log.exception("the periodic resync failed unexpectedly")

    def _records(self) -> tuple[ObservedRecord, ...]:
        """All records, from their store or, while that is absent, from the API server."""
        records = self._stores.records()
        if records is None:
            records = tuple(map(observed_record, self._cluster.list(TENANTS, labels=self._labels).items))
        self._count(records)
        return records

    def _count(self, records: Iterable[ObservedRecord]) -> None:
        ready = Counter(record.ready for record in records if record.ready)
        self._metrics.tenants.clear()
        for (status, reason), number in ready.items():
            self._metrics.tenants.labels(status, reason).set(number)


def lease_name(labels: str) -> str:
    """Name of the Lease: controllers that manage different records do not compete."""
    return f"{_LEASE_NAME}-{hashlib.sha256(labels.encode()).hexdigest()[:8]}" if labels else _LEASE_NAME


def run_controller(settings: ControllerSettings) -> int:
    """Runs a controller until a signal ends it; its exit code.

    Raises:
        TenancyError: no cluster, no credential or no platform file.
    """
    keystone = connect_projects()
    states = ProjectStates(keystone)
    limits = KeystoneLimits(keystone.connection, settings.service_type) if settings.limits_seconds else None
    return Controller(settings, connect(settings.kubeconfig), states, LimitStates(limits, states)).run()


def _start(name: str, run: object) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread
