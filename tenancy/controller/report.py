"""What a round found and did, as the record's status: conditions whose reasons say what to do. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.model import Manifest, TenantSpec
from tenancy.controller.execute import Done
from tenancy.controller.plan import Refusal
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, LIMIT_RANGE, NAMESPACE, RESOURCE_QUOTA
from tenancy.kubernetes.pods import names_of
from tenancy.model.record import (
    Condition,
    ConditionType,
    FunctionStatus,
    ObservedOffboarding,
    ProjectState,
    TenantRecord,
    TenantStatus,
    timestamp,
)
from tenancy.model.suspension import OFFBOARDING, PROJECT_DELETED, SUSPENDED, Suspension, suspension_of

_QUOTA_KINDS = frozenset({RESOURCE_QUOTA, LIMIT_RANGE})


@dataclass(frozen=True, slots=True)
class Round:
    """One round over a tenant.

    Attributes:
        record: as it was read.
        spec: what was built: the record's, with the suspension that is in force.
        project: what is known of its project, and its name.
        refusals: of the plan and of the API server.
        functions: every Knative Service of the namespace.
        problems: why functions of the specification could not be built.
        pods: those that should not run as they do: of a suspended tenant all, else those made below its level; None if
            pods could not be seen.
        offboarding: when it was first seen.
    """

    record: TenantRecord
    spec: TenantSpec
    project: tuple[ProjectState, str]
    refusals: tuple[Refusal, ...] = ()
    functions: tuple[FunctionStatus, ...] = ()
    problems: tuple[str, ...] = ()
    pods: tuple[Manifest, ...] | None = ()
    offboarding: ObservedOffboarding | None = None

    @property
    def suspension(self) -> Suspension | None:
        return suspension_of(self.record, self.project[0])


def status_of(round_: Round) -> TenantStatus:
    """The status after a round."""
    conditions = [
        _of_kinds(round_, ConditionType.NAMESPACE, lambda refusal: refusal.ref.kind == NAMESPACE, "Active"),
        _of_kinds(round_, ConditionType.POLICIES, _is_policy, "Applied"),
        _of_kinds(round_, ConditionType.QUOTA, lambda refusal: refusal.ref.kind in _QUOTA_KINDS, "Applied"),
        _function(round_),
        _pods(round_),
    ]
    return TenantStatus(
        observed_generation=round_.record.generation,
        project=round_.project[0],
        project_name=round_.project[1],
        functions=round_.functions,
        conditions=(*conditions, _ready(round_, conditions)),
        offboarding=round_.offboarding,
    )


def status_patch(manifest: Mapping[str, Any], status: TenantStatus, now: dt.datetime) -> dict[str, Any] | None:
    """The merge patch that makes the status of a `Tenant` object this one; None if it is so already.

    Times alone are no news: `lastTransitionTime` moves with a condition's status, `checkedAt` with the project.
    """
    before = manifest.get("status") or {}
    last = {condition["type"]: condition for condition in before.get("conditions", ())}
    conditions = [_condition_of(condition, last, status, now) for condition in status.conditions]
    project: dict[str, Any] = {"state": status.project.value, "name": status.project_name}
    if {**before.get("project", {}), **project} != before.get("project"):
        project["checkedAt"] = timestamp(now)
    after = {
        "observedGeneration": status.observed_generation,
        "project": {**before.get("project", {}), **project},
        "functions": [
            {
                "name": function.name,
                "ready": function.ready,
                "callable": function.callable,
                "reason": function.reason,
                "message": function.message,
            }
            for function in status.functions
        ],
        "conditions": conditions,
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
class News:
    """Something for the record's Kubernetes Events."""

    reason: str
    message: str
    warning: bool = False


def news_of(before: TenantStatus, after: TenantStatus, done: Done) -> tuple[News, ...]:
    """What is worth an event: what was done, and conditions that turned."""
    news = []
    if done.made:
        news.append(News("Made", f"made {_named(done.made)}"))
    if done.repaired:
        news.append(News("Repaired", f"brought back {_named(done.repaired)}"))
    if done.removed:
        news.append(News("Removed", f"removed {_named(done.removed)}"))
    known = {condition.type: (condition.status, condition.reason) for condition in before.conditions}
    for condition in after.conditions:
        if known.get(condition.type) != (condition.status, condition.reason):
            text = condition.message or f"{condition.type.value} is {condition.status}"
            news.append(News(f"{condition.type.value}{condition.reason}", text, warning=condition.status is False))
    return tuple(news)


def _is_policy(refusal: Refusal) -> bool:
    return refusal.ref.kind not in {NAMESPACE, KNATIVE_SERVICE, *_QUOTA_KINDS}


def _of_kinds(round_: Round, type_: ConditionType, concerns: Any, good: str) -> Condition:
    blocked = _blocked(round_)
    if blocked and type_ is not ConditionType.NAMESPACE:
        return Condition(type_, None, blocked.reason, blocked.message)
    refused = [refusal for refusal in round_.refusals if concerns(refusal)]
    if refused:
        return Condition(type_, False, refused[0].reason, "; ".join(refusal.message for refusal in refused))
    return Condition(type_, True, good)


def _blocked(round_: Round) -> Refusal | None:
    """The refusal of the namespace itself, behind which nothing was tried."""
    return next((refusal for refusal in round_.refusals if refusal.ref.kind == NAMESPACE), None)


def _function(round_: Round) -> Condition:
    type_ = ConditionType.FUNCTION
    usual = _of_kinds(round_, type_, lambda refusal: refusal.ref.kind == KNATIVE_SERVICE, "AllReady")
    if usual.status is not True:
        return usual
    if round_.suspension:
        return Condition(type_, False, "Suspended", round_.suspension.message)
    if round_.problems:
        return Condition(type_, False, "SpecImpossible", "; ".join(round_.problems))
    known = {function.name: function for function in round_.functions}
    for name in round_.spec.functions:
        function = known.get(name)
        if function is None:
            return Condition(type_, False, "NotReady", f"{name}: made just now, Knative has not said anything yet")
        if not function.ready or function.reason:
            return Condition(type_, False, function.reason, f"{name}: {function.message}")
    return usual


def _pods(round_: Round) -> Condition:
    type_, pods = ConditionType.PODS, round_.pods
    blocked = _blocked(round_)
    if blocked:
        return Condition(type_, None, blocked.reason, blocked.message)
    if pods is None:
        return Condition(type_, None, "NotSeen", "the controller may not see the pods yet; it is tried again")
    if round_.suspension:
        return Condition(type_, False, "Stopping", f"still running: {names_of(pods)}") if pods else _no_pods(type_)
    if pods:
        return Condition(
            type_,
            False,
            "BelowLevel",
            f"made before the level was {round_.spec.isolation.value}: {names_of(pods)}. Pods of the catalogue's "
            "functions are replaced by themselves; restart the others, or suspend and resume the tenant",
        )
    return Condition(type_, True, "AtLevel")


def _no_pods(type_: ConditionType) -> Condition:
    return Condition(type_, True, "Stopped")


def _ready(round_: Round, conditions: Sequence[Condition]) -> Condition:
    type_, suspension = ConditionType.READY, round_.suspension
    if suspension:
        return Condition(
            type_, False, suspension.reason, f"{suspension.message}; {_what_ends(suspension, round_.record)}"
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


def _first_not_true(conditions: Iterable[Condition]) -> Condition | None:
    return next((condition for condition in conditions if condition.status is not True), None)


def _of_offboarding(record: TenantRecord) -> str:
    offboarding, over_at = record.offboarding, record.removable_from
    assert offboarding is not None
    if over_at is None:
        return "its grace period begins now"
    if offboarding.confirmed:
        return f"confirmed; its namespace is removed after {timestamp(over_at)}"
    return (
        f"from {timestamp(over_at)} on, osfaas tenant offboard {record.spec.project_id} "
        "--confirm removes it; --cancel takes it back"
    )


def _condition_of(
    condition: Condition, last: Mapping[str, Mapping[str, Any]], status: TenantStatus, now: dt.datetime
) -> dict[str, Any]:
    word = {True: "True", False: "False", None: "Unknown"}[condition.status]
    before = last.get(condition.type.value, {})
    since = before.get("lastTransitionTime") if before.get("status") == word else None
    return {
        "type": condition.type.value,
        "status": word,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": status.observed_generation,
        "lastTransitionTime": since or timestamp(now),
    }


def _named(refs: Sequence[Any]) -> str:
    return ", ".join(f"{ref.kind.kind} {ref.name}" for ref in refs)
