"""One round over one tenant: observe → plan → execute → report."""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from policies.labels import FIELD_MANAGER
from policies.model import Manifest, Platform, TenantSpec
from policies.tenant import build_tenant
from tenancy.controller.execute import Done, execute
from tenancy.controller.function_status import function_statuses
from tenancy.controller.metrics import ControllerMetrics
from tenancy.controller.plan import Applied, plan_removal, plan_tenant
from tenancy.controller.project_states import ProjectStates
from tenancy.controller.report import News, Round, news_of, status_of, status_patch
from tenancy.controller.snapshot import Observed, observe
from tenancy.kubernetes.client import Cluster, Kind, Ref
from tenancy.kubernetes.kinds import NAMESPACE, POD
from tenancy.kubernetes.pods import pods_below_level, running_pods
from tenancy.model.errors import ClusterError, ForbiddenError, ProjectsError
from tenancy.model.record import ProjectState, TenantRecord, record_of
from tenancy.model.suspension import spec_in_force
from tenancy.repository import ref_of_tenant

log = logging.getLogger(__name__)

# While something is not as wanted and nobody announces when it will be: doubled as long as nothing moves, because a
# function that never runs must not cost as much as one that is about to.
SOON_SECONDS, LATEST_SECONDS = 4.0, 64.0
# How long a removal waits for pods.
_TIME_FOR_PODS = dt.timedelta(seconds=60)
EVENT = Kind("v1", "Event")
# Events of cluster-scoped objects live here.
_EVENTS_NAMESPACE = "default"


def now_utc() -> dt.datetime:
    """The time of day."""
    return dt.datetime.now(dt.UTC)


@dataclass
class Reconciler:
    """Brings one tenant after the other to what its record says. Never two rounds over the same one at once."""

    cluster: Cluster
    platform: Platform
    states: ProjectStates
    metrics: ControllerMetrics
    may_write: Callable[[], bool]
    selector: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], dt.datetime] = now_utc
    _remembered: dict[str, dict[Ref, Applied]] = field(default_factory=dict)
    # Rounds over a tenant in which nothing moved.
    _still: dict[str, int] = field(default_factory=dict)

    def reconcile(self, name: str) -> float | None:
        """One round over the tenant of this name.

        Returns:
            Seconds after which another is due even if nothing happens; None if none is.

        Raises:
            ClusterError: the API server gave no complete answer; what could not be seen was not touched.
            RecordError: the record is not well formed.
            NoLongerLeadingError: another replica leads.
        """
        manifest = self.cluster.get(ref_of_tenant(name))
        if manifest is None or not self.selector.items() <= manifest["metadata"].get("labels", {}).items():
            # A record that is gone takes nothing with it.
            self._forget(name)
            return None
        record = record_of(manifest)
        project = self._project_of(record)
        if self._may_remove(record):
            return self._remove(record, manifest)
        spec = spec_in_force(record, project[0])
        wanted = build_tenant(spec, self.platform)
        observed = observe(self.cluster, spec.namespace, wanted.manifests)
        remembered = self._remembered.setdefault(name, {})
        plan = plan_tenant(name, wanted, observed, remembered)
        done = execute(self.cluster, plan, observed, remembered, self.may_write)
        round_ = Round(
            record,
            spec,
            project,
            refusals=(*plan.refusals, *done.failures),
            functions=function_statuses(observed.services, observed.deployments, observed.pods or ()),
            problems=wanted.problems,
            pods=self._misplaced(spec, observed),
            offboarding=record.observed_offboarding(self.clock()),
        )
        moved = self._report(manifest, round_, done)
        waits = bool(round_.refusals) or not _settled(round_, observed.deployments)
        self._still[name] = 0 if moved or not waits else self._still.get(name, 0) + 1
        return self._due(record, waits=waits)

    def _misplaced(self, spec: TenantSpec, observed: Observed) -> tuple[Manifest, ...] | None:
        """The pods that should not run as they do; None if they could not be seen."""
        if observed.pods is None:
            return None
        if spec.suspended is not None:
            return running_pods(observed.pods)
        return pods_below_level(observed.pods, spec, self.platform)

    def _may_remove(self, record: TenantRecord) -> bool:
        def has_pods() -> bool:
            try:
                return bool(running_pods(self.cluster.list(POD, namespace=record.spec.namespace).items))
            except ForbiddenError:
                # The binding that shows them goes with the namespace.
                return False

        return removal_is_due(record, self.clock(), has_pods)

    def _forget(self, name: str) -> None:
        self._remembered.pop(name, None)
        self._still.pop(name, None)

    def _project_of(self, record: TenantRecord) -> tuple[ProjectState, str]:
        """What is known of the project; as long as Keystone has not said, what the record remembers."""
        known = self.states.of(record.spec.project_id)
        if known is None and record.status.project is ProjectState.UNKNOWN:
            try:
                self.states.refresh_one(record.spec.project_id)
            except ProjectsError as error:
                log.warning("tenant %s: its project is not known yet: %s", record.name, error)
            known = self.states.of(record.spec.project_id)
        return known or (record.status.project, record.status.project_name)

    def _remove(self, record: TenantRecord, manifest: Manifest) -> float | None:
        namespace = Ref(NAMESPACE, "", record.spec.namespace)
        observed = Observed(self.cluster.get(namespace))
        plan = plan_removal(record.name, namespace, observed.namespace)
        if not plan.actions and not plan.refusals:
            log.info("tenant %s: its namespace is gone; the record goes too", record.name)
            if self.may_write():
                self.cluster.delete(ref_of_tenant(record.name), uid=manifest["metadata"]["uid"])
            self._forget(record.name)
            return None
        done = execute(self.cluster, plan, observed, {}, self.may_write)
        spec = spec_in_force(record, record.status.project)
        project = record.status.project, record.status.project_name
        refusals, seen = (*plan.refusals, *done.failures), record.observed_offboarding(self.clock())
        self._report(manifest, Round(record, spec, project, refusals, pods=None, offboarding=seen), done)
        return SOON_SECONDS

    def _report(self, manifest: Manifest, round_: Round, done: Done) -> bool:
        """Says what happened; whether anything did."""
        for change, refs in (("made", done.made), ("repaired", done.repaired), ("removed", done.removed)):
            for ref in refs:
                log.info("tenant %s: %s %s", round_.record.name, change, ref)
                self.metrics.changes.labels(change, ref.kind.kind).inc()
        for refusal in round_.refusals:
            self.metrics.changes.labels("refused", refusal.ref.kind.kind).inc()
        status = status_of(round_)
        patch = status_patch(manifest, status, self.clock())
        if patch and self.may_write():
            self.cluster.merge(ref_of_tenant(round_.record.name), patch, subresource="status")
        for news in news_of(round_.record.status, status, done):
            self._tell(manifest, news)
        return patch is not None or bool(done.made or done.repaired or done.removed)

    def _tell(self, manifest: Manifest, news: News) -> None:
        at = self.clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        metadata = manifest["metadata"]
        event: Manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self.clock().timestamp():.6f}.{abs(hash(news)):x}"[:253],
                "namespace": _EVENTS_NAMESPACE,
            },
            "involvedObject": {
                **{key: manifest[key] for key in ("apiVersion", "kind")},
                **{key: metadata[key] for key in ("name", "uid", "resourceVersion")},
            },
            "reason": news.reason,
            "message": news.message[:1000],
            "type": "Warning" if news.warning else "Normal",
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            self.cluster.create(event)
        except ClusterError as error:
            # Events are for people; the status has it too.
            log.warning("tenant %s: no event: %s", metadata["name"], error)

    def _due(self, record: TenantRecord, *, waits: bool) -> float | None:
        due = [min(SOON_SECONDS * 2.0 ** min(self._still[record.name], 8), LATEST_SECONDS)] if waits else []
        if record.offboarding and record.offboarding.confirmed:
            over_at = record.removable_from or self.clock()
            due.append(max(SOON_SECONDS, (over_at - self.clock()).total_seconds()))
        return min(due, default=None)


def removal_is_due(record: TenantRecord, now: dt.datetime, has_pods: Callable[[], bool]) -> bool:
    """Whether both steps are done and the pods have ended, or have had time to; they are suspended since the first.

    With pods in it, Kubernetes looks at a namespace that is going only after half of their grace period, which for
    a function is minutes.
    """
    over_at = record.removable_from
    if record.offboarding is None or not record.offboarding.confirmed or over_at is None or now < over_at:
        return False
    return now > over_at + _TIME_FOR_PODS or not has_pods()


def _settled(round_: Round, deployments: Iterable[Manifest]) -> bool:
    """Whether nothing is on its way; pods are not watched, so a tenant with one that waits is looked at again."""
    if round_.pods is None or round_.pods:
        return False
    if round_.suspension:
        return True
    running = {function.name for function in round_.functions if function.ready and not function.reason}
    complete = all(
        deployment.get("status", {}).get("readyReplicas", 0) >= deployment["spec"].get("replicas", 1)
        for deployment in deployments
    )
    wanted = () if round_.problems else round_.spec.functions
    return complete and running.issuperset(wanted) and len(running) == len(round_.functions)
