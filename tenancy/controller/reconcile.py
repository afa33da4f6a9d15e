"""Reconciles one tenant: snapshot → plan → execute → report; does nothing if the tenant is known to be settled."""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from policies.labels import FIELD_MANAGER
from policies.model import Manifest, Platform, TenantSpec
from policies.own_function import OwnFunctions
from policies.tenant import TenantObjects, build_tenant
from tenancy.controller.builds import BuildDecision, decide_builds, observe_builds
from tenancy.controller.execute import ApplyResult, execute
from tenancy.controller.function_report import OwnFunctionContext
from tenancy.controller.function_status import function_statuses
from tenancy.controller.limit_states import LimitStates
from tenancy.controller.metrics import ControllerMetrics
from tenancy.controller.own_functions import ObservedFunctions, observe_functions, report_functions
from tenancy.controller.plan import Applied, plan_removal, plan_tenant
from tenancy.controller.project_states import ProjectStates
from tenancy.controller.report import KubernetesEvent, ReconcileResult, events_of, status_of, status_patch
from tenancy.controller.settled import SettledState, SettledTenants
from tenancy.controller.snapshot import Snapshot, take_snapshot
from tenancy.controller.stores import ObjectVersions
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tenancy.kubernetes.kinds import NAMESPACE, POD
from tenancy.kubernetes.pods import pods_below_level, running_pods
from tenancy.model.errors import ClusterError, ForbiddenError, ProjectsError
from tenancy.model.record import ProjectFacts, ProjectState, TenantRecord, record_of
from tenancy.model.suspension import spec_in_force
from tenancy.registry_credentials import CredentialSigner
from tenancy.repository import ref_of_tenant

log = logging.getLogger(__name__)

# Requeue delay while the wanted state is not reached and no watch will announce it. It doubles as long as nothing
# changes, because a function that never runs must not cost as much as one that is starting.
SOON_SECONDS, LATEST_SECONDS = 4.0, 64.0
# While a build runs, which a user waits for. Its Job is not watched.
BUILDING_SECONDS = 1.0
# Time that a removal waits for pods to end.
_TIME_FOR_PODS = dt.timedelta(seconds=60)
EVENT = Kind("v1", "Event")
# Events of cluster-scoped objects live here.
_EVENTS_NAMESPACE = "default"


def now_utc() -> dt.datetime:
    """The time of day."""
    return dt.datetime.now(dt.UTC)


@dataclass
class Reconciler:
    """Reconciles tenants with their records; must not be called for one tenant twice at the same time."""

    cluster: Cluster
    platform: Platform
    states: ProjectStates
    limits: LimitStates
    metrics: ControllerMetrics
    may_write: Callable[[], bool]
    versions_of: Callable[[str], ObjectVersions | None]
    selector: Mapping[str, str] = field(default_factory=dict)
    signer: CredentialSigner | None = None
    clock: Callable[[], dt.datetime] = now_utc
    settled: SettledTenants = field(default_factory=SettledTenants)
    _remembered: dict[str, dict[Ref, Applied]] = field(default_factory=dict)
    # Consecutive reconciles of a tenant in which nothing changed.
    _idle_reconciles: dict[str, int] = field(default_factory=dict)

    def reconcile(self, name: str) -> float | None:
        """Reconciles the tenant of this name.

        Returns:
            Seconds after which to reconcile again even if nothing changes; None: not needed.

        Raises:
            ClusterError: the API server gave no complete answer; objects that could not be read were not changed.
            RecordError: the record is not well formed.
            NoLongerLeadingError: another replica leads.
        """
        # Before all reads: a change during them makes the versions differ the next time.
        versions = self.versions_of(name)
        if self.settled.needs_no_read(name, versions, self.states, self.limits):
            return None
        settled = None
        try:
            due, settled = self._reconcile(name, versions)
        finally:
            self.settled.remember(name, settled)
        return due

    def _reconcile(self, name: str, versions: ObjectVersions | None) -> tuple[float | None, SettledState | None]:
        """Reads directly and acts; returns when the tenant is due, and the input if there was nothing to do."""
        manifest = self.cluster.get(ref_of_tenant(name))
        if manifest is None or not self.selector.items() <= manifest["metadata"].get("labels", {}).items():
            # Deleting a record deletes nothing else.
            self._forget(name)
            return None, None
        record = record_of(manifest)
        project = self._project_of(record)
        if self._may_remove(record):
            return self._remove(record, manifest), None
        # Before they are used: a change during the reconcile makes them differ the next time.
        limits = self.limits.of(record.spec.project_id)
        spec = self.limits.in_force(spec_in_force(record, project.state))
        observed = observe_functions(self.cluster, spec.namespace)
        builds, own, known = self._builds(spec, observed)
        wanted = build_tenant(spec, self.platform, own)
        snapshot = take_snapshot(self.cluster, spec.namespace, wanted.manifests, known)
        remembered = self._remembered.setdefault(name, {})
        plan = plan_tenant(name, wanted, snapshot, remembered)
        applied = execute(self.cluster, plan, snapshot, remembered, self.may_write)
        result = ReconcileResult(
            record,
            spec,
            project,
            refusals=(*plan.refusals, *applied.failures),
            functions=function_statuses(snapshot.services, snapshot.deployments, snapshot.pods or ()),
            problems=wanted.problems,
            pods=self._misplaced(spec, snapshot),
            offboarding=record.observed_offboarding(self.clock()),
        )
        changed = self._report(manifest, result, applied)
        functions_changed, functions_wait = self._report_functions(observed, wanted, snapshot, result, builds)
        changed = changed or functions_changed
        waits = bool(result.refusals) or functions_wait or not _settled(result, snapshot.deployments)
        self._idle_reconciles[name] = 0 if changed or not waits else self._idle_reconciles.get(name, 0) + 1
        due = self._due(record, waits=waits, builds=builds.unfinished and spec.suspended is None)
        if versions is None or changed or due is not None:
            return due, None
        return None, SettledState(versions, record.spec.project_id, project, limits)

    def _builds(
        self, spec: TenantSpec, observed: ObservedFunctions
    ) -> tuple[BuildDecision, OwnFunctions | None, Mapping[Ref, Manifest]]:
        """Builds, own functions with them, and the objects of builds that exist."""
        settings = self.platform.builds
        if settings is None or self.signer is None or observed.own is None:
            return BuildDecision(), observed.own, {}
        found = observe_builds(self.cluster, spec.namespace)
        credentials = self.signer.credentials_of(spec.project_id, self.clock().timestamp())
        decision = decide_builds(observed.records, found, settings, credentials, spec.project_id)
        return decision, replace(observed.own, builds=decision.own), found.objects if found else {}

    def _report_functions(
        self,
        observed: ObservedFunctions,
        wanted: TenantObjects,
        snapshot: Snapshot,
        result: ReconcileResult,
        builds: BuildDecision,
    ) -> tuple[bool, bool]:
        """Whether the status of an own function changed, and whether one is between two states."""
        if not self.may_write() or any(refusal.ref.kind == NAMESPACE for refusal in result.refusals):
            return False, False
        context = OwnFunctionContext(
            wanted=wanted,
            services={service["metadata"]["name"]: service for service in snapshot.services},
            deployments=snapshot.deployments,
            pods=snapshot.pods or (),
            autoscalers=observed.autoscalers,
            refusals=result.refusals,
            suspension=result.suspension,
            builds=builds.states,
        )
        return report_functions(self.cluster, observed, context, self.clock())

    def _misplaced(self, spec: TenantSpec, snapshot: Snapshot) -> tuple[Manifest, ...] | None:
        """The pods that must end or be replaced; None if the pods could not be listed."""
        if snapshot.pods is None:
            return None
        if spec.suspended is not None:
            return running_pods(snapshot.pods)
        return pods_below_level(snapshot.pods, spec, self.platform)

    def _may_remove(self, record: TenantRecord) -> bool:
        def has_pods() -> bool:
            try:
                return bool(running_pods(self.cluster.list(POD, namespace=record.spec.namespace).items))
            except ForbiddenError:
                # The RoleBinding that allows listing them is deleted with the namespace.
                return False

        return removal_is_due(record, self.clock(), has_pods)

    def _forget(self, name: str) -> None:
        self._remembered.pop(name, None)
        self._idle_reconciles.pop(name, None)

    def _project_of(self, record: TenantRecord) -> ProjectFacts:
        """What Keystone says of the project; until Keystone has answered, what is in the record."""
        known = self.states.of(record.spec.project_id)
        if known is None and record.status.project is ProjectState.UNKNOWN:
            try:
                self.states.refresh_one(record.spec.project_id)
            except ProjectsError as error:
                log.warning("tenant %s: its project is not known yet: %s", record.name, error)
            known = self.states.of(record.spec.project_id)
        return known or record.status.facts

    def _remove(self, record: TenantRecord, manifest: Manifest) -> float | None:
        namespace = Ref(NAMESPACE, "", record.spec.namespace)
        snapshot = Snapshot(self.cluster.get(namespace))
        plan = plan_removal(record.name, namespace, snapshot.namespace)
        if not plan.actions and not plan.refusals:
            log.info("tenant %s: its namespace is gone; deleting the record", record.name)
            if self.may_write():
                self.cluster.delete(ref_of_tenant(record.name), uid=manifest["metadata"]["uid"])
            self._forget(record.name)
            return None
        applied = execute(self.cluster, plan, snapshot, {}, self.may_write)
        spec = spec_in_force(record, record.status.project)
        refusals, seen = (*plan.refusals, *applied.failures), record.observed_offboarding(self.clock())
        result = ReconcileResult(record, spec, record.status.facts, refusals, pods=None, offboarding=seen)
        self._report(manifest, result, applied)
        return SOON_SECONDS

    def _report(self, manifest: Manifest, result: ReconcileResult, applied: ApplyResult) -> bool:
        """Logs, counts and stores the result; returns whether anything changed."""
        for change, refs in (
            ("created", applied.created),
            ("corrected", applied.corrected),
            ("deleted", applied.deleted),
        ):
            for ref in refs:
                log.info("tenant %s: %s %s", result.record.name, change, ref)
                self.metrics.changes.labels(change, ref.kind.kind).inc()
        for refusal in result.refusals:
            self.metrics.changes.labels("rejected", refusal.ref.kind.kind).inc()
        status = status_of(result)
        patch = status_patch(manifest, status, self.clock())
        if patch and self.may_write():
            self.cluster.merge(ref_of_tenant(result.record.name), patch, subresource="status")
        for event in events_of(result.record.status, status, applied):
            self._record_event(manifest, event)
        return patch is not None or bool(applied.created or applied.corrected or applied.deleted)

    def _record_event(self, manifest: Manifest, event: KubernetesEvent) -> None:
        at = self.clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        metadata = manifest["metadata"]
        body: Manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self.clock().timestamp():.6f}.{abs(hash(event)):x}"[:253],
                "namespace": _EVENTS_NAMESPACE,
            },
            "involvedObject": {
                **{key: manifest[key] for key in ("apiVersion", "kind")},
                **{key: metadata[key] for key in ("name", "uid", "resourceVersion")},
            },
            "reason": event.reason,
            "message": event.message[:1000],
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            self.cluster.create(body)
        except ClusterError as error:
            # Events are informational; the status has the same content.
            log.warning("tenant %s: the event could not be created: %s", metadata["name"], error)

    def _due(self, record: TenantRecord, *, waits: bool, builds: bool) -> float | None:
        due = [min(SOON_SECONDS * 2.0 ** min(self._idle_reconciles[record.name], 8), LATEST_SECONDS)] if waits else []
        due += [BUILDING_SECONDS] if builds else []
        if record.offboarding and record.offboarding.confirmed:
            over_at = record.removable_from or self.clock()
            due.append(max(SOON_SECONDS, (over_at - self.clock()).total_seconds()))
        return min(due, default=None)


def removal_is_due(record: TenantRecord, now: dt.datetime, has_pods: Callable[[], bool]) -> bool:
    """Whether both steps are done, and the pods, deleted in the first step, have ended or had time to end.

    Kubernetes revisits a terminating namespace that contains pods only after half of their grace period, which for a
    function is minutes.
    """
    over_at = record.removable_from
    if record.offboarding is None or not record.offboarding.confirmed or over_at is None or now < over_at:
        return False
    return now > over_at + _TIME_FOR_PODS or not has_pods()


def _settled(result: ReconcileResult, deployments: Iterable[Manifest]) -> bool:
    """Whether the tenant is stable. Pods are not watched, so a tenant with a pending one is reconciled again."""
    if result.pods is None or result.pods:
        return False
    if result.suspension:
        return True
    running = {function.name for function in result.functions if function.ready and not function.reason}
    complete = all(
        deployment.get("status", {}).get("readyReplicas", 0) >= deployment["spec"].get("replicas", 1)
        for deployment in deployments
    )
    wanted = () if result.problems else result.spec.functions
    return complete and running.issuperset(wanted) and len(running) == len(result.functions)
