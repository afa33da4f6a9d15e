"""The result of a reconcile as the record's status and events. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.model import Manifest, TenantSpec
from tenancy.controller.execute import ApplyResult
from tenancy.controller.plan import Refusal
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, LIMIT_RANGE, NAMESPACE, RESOURCE_QUOTA
from tenancy.kubernetes.pods import names_of
from tenancy.model.condition import Condition, condition_fields
from tenancy.model.reasons import NOT_READY
from tenancy.model.record import (
    ConditionType,
    FunctionStatus,
    ObservedOffboarding,
    ProjectFacts,
    TenantCondition,
    TenantRecord,
    TenantStatus,
)
from tenancy.model.suspension import OFFBOARDING, PROJECT_DELETED, SUSPENDED, Suspension, suspension_of
from tenancy.model.times import timestamp

_QUOTA_KINDS = frozenset({RESOURCE_QUOTA, LIMIT_RANGE})


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of reconciling one tenant.

    Attributes:
        record: as it was read.
        spec: the specification that was built: the record's, with the suspension that is in force.
        project: what Keystone says of its project.
        refusals: of the plan and of the API server.
        functions: every Knative Service of the namespace.
        problems: why functions of the specification could not be built.
        pods: misplaced ones: all pods of a suspended tenant, otherwise those created below its level; None if pods
            could not be listed.
        offboarding: when it was first observed.
    """

    record: TenantRecord
    spec: TenantSpec
    project: ProjectFacts
    refusals: tuple[Refusal, ...] = ()
    functions: tuple[FunctionStatus, ...] = ()
    problems: tuple[str, ...] = ()
    pods: tuple[Manifest, ...] | None = ()
    offboarding: ObservedOffboarding | None = None

    @property
    def suspension(self) -> Suspension | None:
        return suspension_of(self.record, self.project.state)


def status_of(result: ReconcileResult) -> TenantStatus:
    """The status after a reconcile."""
    conditions = [
        _of_kinds(result, ConditionType.NAMESPACE, lambda refusal: refusal.ref.kind == NAMESPACE, "Active"),
        _of_kinds(result, ConditionType.POLICIES, _is_policy, "Applied"),
        _of_kinds(result, ConditionType.QUOTA, lambda refusal: refusal.ref.kind in _QUOTA_KINDS, "Applied"),
        _function(result),
        _pods(result),
    ]
    return TenantStatus(
        observed_generation=result.record.generation,
        project=result.project.state,
        project_name=result.project.name,
        project_domain=result.project.domain_id,
        functions=result.functions,
        conditions=(*conditions, _ready(result, conditions)),
        offboarding=result.offboarding,
    )


def status_patch(manifest: Mapping[str, Any], status: TenantStatus, now: dt.datetime) -> dict[str, Any] | None:
    """The merge patch for the status of a `Tenant` object; None if the status is unchanged.

    Times alone are no change: `lastTransitionTime` moves with a condition's status, `checkedAt` with state and name of
    the project. It does not move with the domain: a CRD of an earlier version drops that, so each patch would be one.
    """
    before = manifest.get("status") or {}
    generation = status.observed_generation
    project: dict[str, Any] = {"state": status.project.value, "name": status.project_name}
    if {**before.get("project", {}), **project} != before.get("project"):
        project["checkedAt"] = timestamp(now)
    if status.project_domain:
        project["domainID"] = status.project_domain
    after = {
        "observedGeneration": status.observed_generation,
        "project": {**before.get("project", {}), **project},
        "functions": [
            {
                "name": function.name,
                "ready": function.ready,
                "callable": function.callable,
                **({"objects": True} if function.objects else {}),
                "reason": function.reason,
                "message": function.message,
                **({"tags": list(function.tags)} if function.tags else {}),
                **({"revision": function.revision} if function.revision else {}),
                **({"memoryMiB": function.memory_mib} if function.memory_mib else {}),
            }
            for function in status.functions
        ],
        "conditions": [condition_fields(each, before, generation=generation, now=now) for each in status.conditions],
    }
    if status.offboarding:
        seen = status.offboarding
        after["offboarding"] = {
            "requestedAt": timestamp(seen.requested_at),
            "observedAt": timestamp(seen.observed_at),
        }
    elif "offboarding" in before:
        after["offboarding"] = None
    return None if after == before else {"status": after}


@dataclass(frozen=True, slots=True)
class KubernetesEvent:
    """A Kubernetes Event about the record."""

    reason: str
    message: str
    warning: bool = False


def events_of(before: TenantStatus, after: TenantStatus, applied: ApplyResult) -> tuple[KubernetesEvent, ...]:
    """The events of a reconcile: changes that were made, and conditions that changed."""
    events = []
    if applied.created:
        events.append(KubernetesEvent("Created", f"created {_named(applied.created)}"))
    if applied.corrected:
        events.append(KubernetesEvent("DriftCorrected", f"corrected {_named(applied.corrected)}"))
    if applied.deleted:
        events.append(KubernetesEvent("Deleted", f"deleted {_named(applied.deleted)}"))
    known = {condition.type: (condition.status, condition.reason) for condition in before.conditions}
    for condition in after.conditions:
        if known.get(condition.type) != (condition.status, condition.reason):
            text = condition.message or f"{condition.type.value} is {condition.status}"
            events.append(
                KubernetesEvent(f"{condition.type.value}{condition.reason}", text, warning=condition.status is False)
            )
    return tuple(events)


def _is_policy(refusal: Refusal) -> bool:
    return refusal.ref.kind not in {NAMESPACE, KNATIVE_SERVICE, *_QUOTA_KINDS}


def _of_kinds(result: ReconcileResult, type_: ConditionType, applies_to: Any, good: str) -> TenantCondition:
    blocked = _blocked(result)
    if blocked and type_ is not ConditionType.NAMESPACE:
        return Condition(type_, None, blocked.reason, blocked.message)
    refused = [refusal for refusal in result.refusals if applies_to(refusal)]
    if refused:
        return Condition(type_, False, refused[0].reason, "; ".join(refusal.message for refusal in refused))
    return Condition(type_, True, good)


def _blocked(result: ReconcileResult) -> Refusal | None:
    """The refusal of the namespace itself; nothing else was tried after it."""
    return next((refusal for refusal in result.refusals if refusal.ref.kind == NAMESPACE), None)


def _function(result: ReconcileResult) -> TenantCondition:
    type_ = ConditionType.FUNCTION
    usual = _of_kinds(result, type_, lambda refusal: refusal.ref.kind == KNATIVE_SERVICE, "AllReady")
    if usual.status is not True:
        return usual
    if result.suspension:
        return Condition(type_, False, "Suspended", result.suspension.message)
    if result.problems:
        return Condition(type_, False, "InvalidSpec", "; ".join(result.problems))
    known = {function.name: function for function in result.functions}
    for name in result.spec.functions:
        function = known.get(name)
        if function is None:
            return Condition(type_, False, NOT_READY, f"{name}: Knative has not reported its state yet")
        if not function.ready or function.reason:
            return Condition(type_, False, function.reason, f"{name}: {function.message}")
    return usual


def _pods(result: ReconcileResult) -> TenantCondition:
    type_, pods = ConditionType.PODS, result.pods
    blocked = _blocked(result)
    if blocked:
        return Condition(type_, None, blocked.reason, blocked.message)
    if pods is None:
        return Condition(type_, None, "NotListed", "the pods could not be listed yet; the controller retries")
    if result.suspension:
        return Condition(type_, False, "Stopping", f"still running: {names_of(pods)}") if pods else _no_pods(type_)
    if pods:
        return Condition(
            type_,
            False,
            "BelowLevel",
            f"created below level {result.spec.isolation.value}: {names_of(pods)}. Pods of the catalogue's "
            "functions are replaced automatically; restart the others, or suspend and resume the tenant",
        )
    return Condition(type_, True, "AtLevel")


def _no_pods(type_: ConditionType) -> TenantCondition:
    return Condition(type_, True, "Stopped")


def _ready(result: ReconcileResult, conditions: Sequence[TenantCondition]) -> TenantCondition:
    type_, suspension = ConditionType.READY, result.suspension
    if suspension:
        return Condition(
            type_, False, suspension.reason, f"{suspension.message}; {_what_ends(suspension, result.record)}"
        )
    worst = _first_not_true(conditions)
    return Condition(type_, worst.status, worst.reason, worst.message) if worst else Condition(type_, True, "AllReady")


def _what_ends(suspension: Suspension, record: TenantRecord) -> str:
    project_id = record.spec.project_id
    if suspension.reason == OFFBOARDING:
        return _of_offboarding(record)
    if suspension.reason == PROJECT_DELETED:
        return f"its namespace is kept until osfaas tenant offboard {project_id}"
    if suspension.reason == SUSPENDED:
        return f"osfaas tenant resume {project_id} ends it"
    return "enabling it there ends the suspension"


def _first_not_true(conditions: Iterable[TenantCondition]) -> TenantCondition | None:
    return next((condition for condition in conditions if condition.status is not True), None)


def _of_offboarding(record: TenantRecord) -> str:
    offboarding, over_at = record.offboarding, record.removable_from
    assert offboarding is not None
    if over_at is None:
        return "its grace period begins now"
    if offboarding.confirmed:
        return f"confirmed; its namespace is removed after {timestamp(over_at)}"
    return (
        f"after {timestamp(over_at)}, osfaas tenant offboard {record.spec.project_id} "
        "--confirm removes it; --cancel cancels the offboarding"
    )


def _named(refs: Sequence[Any]) -> str:
    return ", ".join(f"{ref.kind.kind} {ref.name}" for ref in refs)
