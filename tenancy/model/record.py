"""The record of a tenant: the cluster-scoped custom resource `Tenant` (`manifests/crd/tenants.yaml`), as values.

The administrator writes `spec`; only the controller writes `status`; the gateway reads both. A record has the name of
its namespace, which is derived from the project id, so a project can have only one.

    apiVersion: osfaas.dev/v1alpha1
    kind: Tenant
    metadata: {name: faas-3d1f…}
    spec:
      projectID: 3d1f…
      displayName: ATLAS
      isolation: L3
      limits: {pods: 10, cpuMillis: 4000, memoryMiB: 4096, concurrentCalls: 32, requestsPerSecond: 50, ownFunctions: 10}
      functions: [checksums]
      suspended: "unpaid"                       # optional: the reason
      offboarding: {requestedAt: 2026-11-24T12:00:00Z, graceSeconds: 604800, confirmed: false}   # optional
    status:
      observedGeneration: 3
      # Enabled, Disabled, Deleted, Unknown
      project: {state: Enabled, name: atlas, domainID: default, checkedAt: 2026-11-24T12:00:00Z}
      functions:
        - {name: checksums, ready: true, callable: true, reason: "", message: ""}
      offboarding: {requestedAt: 2026-11-24T12:00:00Z, observedAt: 2026-11-24T12:00:01Z}         # while requested
      conditions: [{type: Ready, status: "True", reason: AllReady, message: "", lastTransitionTime: …}]
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from policies.labels import API_GROUP, API_VERSION, TENANT_KIND
from policies.model import IsolationLevel, Limits, Manifest, TenantSpec
from policies.names import ProjectId
from tenancy.model.condition import Condition, conditions_in
from tenancy.model.errors import RecordError
from tenancy.model.times import timestamp


class ProjectState(Enum):
    """The state of the project in Keystone; `UNKNOWN` until it has answered in full."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    DELETED = "Deleted"
    UNKNOWN = "Unknown"


class ProjectFacts(NamedTuple):
    """What Keystone said of a project last; the domain is "" until it is known, and never changes."""

    state: ProjectState = ProjectState.UNKNOWN
    name: str = ""
    domain_id: str = ""


class ConditionType(Enum):
    """The conditions of a record, in the order in which a tenant is built."""

    NAMESPACE = "Namespace"
    POLICIES = "Policies"
    QUOTA = "Quota"
    FUNCTION = "Function"
    PODS = "Pods"
    READY = "Ready"


TenantCondition = Condition[ConditionType]


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """A Knative Service of the tenant.

    Attributes:
        ready: whether Knative reports it as Ready.
        callable: whether /v1/invoke may call it.
        reason: why it does not run, in Kubernetes' or Knative's word (see `tenancy.model.reasons`); "" if it runs.
        message: the explanation for callers and administrators.
        objects: whether it takes objects as inputs and outputs.
        tags: names under which /v1/invoke may call some of its revisions by themselves.
        revision: that gets all of its calls; "": several share them.
        memory_mib: of one of its pods; 0: not known.
    """

    name: str
    ready: bool
    callable: bool = True
    reason: str = ""
    message: str = ""
    objects: bool = False
    tags: tuple[str, ...] = ()
    revision: str = ""
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class Offboarding:
    """A requested offboarding; it can be confirmed after the grace period."""

    requested_at: dt.datetime
    grace_seconds: int
    confirmed: bool = False

    @property
    def over_at(self) -> dt.datetime:
        return self.requested_at + dt.timedelta(seconds=self.grace_seconds)


@dataclass(frozen=True, slots=True)
class ObservedOffboarding:
    """The time at which the controller first observed an offboarding; writers of records cannot backdate it."""

    requested_at: dt.datetime
    observed_at: dt.datetime


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """The status that the controller reported last."""

    observed_generation: int = 0
    project: ProjectState = ProjectState.UNKNOWN
    project_name: str = ""
    project_domain: str = ""
    functions: tuple[FunctionStatus, ...] = ()
    conditions: tuple[TenantCondition, ...] = ()
    offboarding: ObservedOffboarding | None = None

    @property
    def facts(self) -> ProjectFacts:
        return ProjectFacts(self.project, self.project_name, self.project_domain)


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """One `Tenant` object.

    Attributes:
        generation: Kubernetes' generation of the spec; 0 for a record that was never stored.
        resource_version: as read, for optimistic locking; "" for a record that was never stored.
    """

    spec: TenantSpec
    status: TenantStatus = field(default_factory=TenantStatus)
    offboarding: Offboarding | None = None
    generation: int = 0
    resource_version: str = ""

    @property
    def name(self) -> str:
        return self.spec.namespace

    @property
    def removable_from(self) -> dt.datetime | None:
        """End of the grace period, which starts when the controller first observes the offboarding; None before."""
        requested, seen = self.offboarding, self.status.offboarding
        if requested is None or seen is None or seen.requested_at != requested.requested_at:
            return None
        return max(requested.requested_at, seen.observed_at) + dt.timedelta(seconds=requested.grace_seconds)

    def observed_offboarding(self, now: dt.datetime) -> ObservedOffboarding | None:
        """The offboarding for the status: as observed before, or now for the first time."""
        requested, seen = self.offboarding, self.status.offboarding
        if requested is None:
            return None
        return (
            seen
            if seen and seen.requested_at == requested.requested_at
            else ObservedOffboarding(requested.requested_at, now)
        )


def record_of(manifest: Mapping[str, Any]) -> TenantRecord:
    """Parses a `Tenant` object from the API server.

    Raises:
        RecordError: a field is missing or violates the CRD; names the record and the field.
    """
    metadata = manifest.get("metadata", {})
    try:
        spec, status = manifest["spec"], manifest.get("status") or {}
        record = TenantRecord(
            spec=_spec(spec),
            status=_status(status),
            offboarding=_offboarding(spec.get("offboarding")),
            generation=int(metadata.get("generation", 0)),
            resource_version=str(metadata.get("resourceVersion", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"Tenant {metadata.get('name')} is malformed: {error!r}") from error
    if metadata.get("name") != record.name:
        raise RecordError(
            f"Tenant {metadata.get('name')} must be named {record.name}, after its project {record.spec.project_id}"
        )
    return record


def manifest_of(record: TenantRecord) -> Manifest:
    """The `Tenant` object to apply: name and spec, without status."""
    spec, limits = record.spec, record.spec.limits
    fields: dict[str, Any] = {
        "projectID": spec.project_id,
        "displayName": spec.display_name,
        "isolation": spec.isolation.value,
        "limits": {
            "pods": limits.pods,
            "cpuMillis": limits.cpu_millis,
            "memoryMiB": limits.memory_mib,
            "concurrentCalls": limits.concurrent_calls,
            "requestsPerSecond": limits.requests_per_second,
            "bytesPerSecond": limits.bytes_per_second,
            "ownFunctions": limits.own_functions,
        },
        "functions": list(spec.functions),
    }
    if spec.suspended is not None:
        fields["suspended"] = spec.suspended
    if record.offboarding:
        fields["offboarding"] = {
            "requestedAt": timestamp(record.offboarding.requested_at),
            "graceSeconds": record.offboarding.grace_seconds,
            "confirmed": record.offboarding.confirmed,
        }
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": TENANT_KIND,
        "metadata": {"name": record.name},
        "spec": fields,
    }


def _spec(spec: Mapping[str, Any]) -> TenantSpec:
    limits = spec.get("limits", {})
    usual = Limits()
    return TenantSpec(
        project_id=ProjectId(spec["projectID"]),
        display_name=spec.get("displayName", ""),
        isolation=IsolationLevel(spec.get("isolation", IsolationLevel.L3.value)),
        limits=Limits(
            pods=int(limits.get("pods", usual.pods)),
            cpu_millis=int(limits.get("cpuMillis", usual.cpu_millis)),
            memory_mib=int(limits.get("memoryMiB", usual.memory_mib)),
            concurrent_calls=int(limits.get("concurrentCalls", usual.concurrent_calls)),
            requests_per_second=int(limits.get("requestsPerSecond", usual.requests_per_second)),
            bytes_per_second=int(limits.get("bytesPerSecond", usual.bytes_per_second)),
            own_functions=int(limits.get("ownFunctions", usual.own_functions)),
        ),
        functions=tuple(spec.get("functions", ())),
        suspended=spec.get("suspended") or None,
    )


def _status(status: Mapping[str, Any]) -> TenantStatus:
    project = status.get("project", {})
    return TenantStatus(
        observed_generation=int(status.get("observedGeneration", 0)),
        project=ProjectState(project.get("state", ProjectState.UNKNOWN.value)),
        project_name=project.get("name", ""),
        project_domain=project.get("domainID", ""),
        functions=tuple(
            FunctionStatus(
                name=function["name"],
                ready=bool(function.get("ready")),
                callable=bool(function.get("callable")),
                objects=bool(function.get("objects")),
                reason=function.get("reason", ""),
                message=function.get("message", ""),
                tags=tuple(function.get("tags", ())),
                revision=function.get("revision", ""),
                memory_mib=int(function.get("memoryMiB", 0)),
            )
            for function in status.get("functions", ())
        ),
        conditions=conditions_in(status, ConditionType),
        offboarding=_observed_offboarding(status.get("offboarding")),
    )


def _observed_offboarding(value: Mapping[str, Any] | None) -> ObservedOffboarding | None:
    if not value:
        return None
    return ObservedOffboarding(
        requested_at=dt.datetime.fromisoformat(value["requestedAt"]),
        observed_at=dt.datetime.fromisoformat(value["observedAt"]),
    )


def _offboarding(value: Mapping[str, Any] | None) -> Offboarding | None:
    if not value:
        return None
    return Offboarding(
        requested_at=dt.datetime.fromisoformat(value["requestedAt"]),
        grace_seconds=int(value["graceSeconds"]),
        confirmed=bool(value.get("confirmed")),
    )
