"""The status of a `Function` object, from its Knative Service, Deployments and pods. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.model import Manifest
from policies.own_function_service import missing_revisions
from policies.tenant import TenantObjects
from tenancy.controller.builds import BuildState
from tenancy.controller.cold_starts import counted_starts, starts_fields
from tenancy.controller.crashes import crash_of, not_answering
from tenancy.controller.function_status import (
    Share,
    condition_of,
    of_revisions,
    problem_of,
    routes_calls,
    shares_in,
    traffic_of,
)
from tenancy.controller.plan import Refusal
from tenancy.kubernetes.kinds import KNATIVE_SERVICE
from tenancy.model.condition import Condition, condition_fields
from tenancy.model.function import (
    ActiveRevision,
    FunctionCondition,
    FunctionConditionType,
    FunctionRecord,
    OwnFunctionStatus,
    build_fields,
)
from tenancy.model.suspension import Suspension

_ACCEPTED, _REVISION = FunctionConditionType.ACCEPTED, FunctionConditionType.REVISION
_BUILT = FunctionConditionType.BUILT
_TRAFFIC, _READY = FunctionConditionType.TRAFFIC, FunctionConditionType.READY
DEPLOYING = "Deploying"


@dataclass(frozen=True, slots=True)
class OwnFunctionContext:
    """The result of a reconcile, as far as own functions are concerned.

    Attributes:
        wanted: the objects that were built.
        services: the Knative Services of the namespace, by name.
        deployments, pods: of the namespace.
        autoscalers: its PodAutoscalers; None: not known.
        refusals: changes that were not made.
        suspension: of the tenant.
        builds: of the functions with a source, by name.
    """

    wanted: TenantObjects
    services: Mapping[str, Manifest]
    deployments: Sequence[Manifest] = ()
    pods: Sequence[Manifest] = ()
    autoscalers: Sequence[Manifest] | None = None
    refusals: tuple[Refusal, ...] = ()
    suspension: Suspension | None = None
    builds: Mapping[str, BuildState] = field(default_factory=dict)

    def built(self, name: str) -> Manifest | None:
        """The Knative Service that was built for a function."""
        return next((each for each in self.wanted.manifests if _is_service(each, name)), None)


def own_function_status(record: FunctionRecord, context: OwnFunctionContext) -> OwnFunctionStatus:
    """The status after a reconcile."""
    service, built = context.services.get(record.name), context.built(record.name)
    conditions = [_accepted(record, context, built)]
    build = context.builds.get(record.name, BuildState())
    if record.spec.source:
        conditions.append(_built(conditions[0], build))
    conditions.append(_revision(record, context, built, service))
    conditions.append(_traffic(record, context, built, service))
    reported: Mapping[str, Any] = service.get("status", {}) if service else {}
    return OwnFunctionStatus(
        observed_generation=record.generation,
        url=reported.get("address", {}).get("url", ""),
        image_digest=(record.spec.image or (build.ended.image if build.ended else "")).partition("@")[2],
        latest_created=reported.get("latestCreatedRevisionName", ""),
        latest_ready=reported.get("latestReadyRevisionName", ""),
        active=tuple(
            ActiveRevision(share["revisionName"], int(share.get("percent") or 0), share.get("tag"))
            for share in (traffic_of(service) if service else ())
            if share.get("revisionName")
        ),
        conditions=(*conditions, _ready(conditions)),
        starts=counted_starts(record.name, record.status.starts, context.autoscalers),
        build=build.ended or (record.status.build if record.spec.source else None),
    )


def function_status_patch(
    manifest: Mapping[str, Any], status: OwnFunctionStatus, now: dt.datetime
) -> dict[str, Any] | None:
    """The merge patch for the status of a `Function` object; None if the status is unchanged."""
    before = manifest.get("status") or {}
    after = {
        "observedGeneration": status.observed_generation,
        "url": status.url,
        "imageDigest": status.image_digest,
        "latestCreatedRevision": status.latest_created,
        "latestReadyRevision": status.latest_ready,
        "activeRevisions": [
            {"name": each.name, "percent": each.percent, **({"tag": each.tag} if each.tag else {})}
            for each in status.active
        ],
        "conditions": [
            condition_fields(condition, before, generation=status.observed_generation, now=now)
            for condition in status.conditions
        ],
        **({"revisions": starts_fields(status.starts)} if status.starts or before.get("revisions") else {}),
    }
    if status.build:
        after["build"] = build_fields(status.build)
    elif "build" in before:
        # A merge patch keeps what is not named.
        return {"status": {**after, "build": None}}
    return None if after == before else {"status": after}


def _accepted(record: FunctionRecord, context: OwnFunctionContext, built: Manifest | None) -> FunctionCondition:
    if context.suspension:
        return Condition(_ACCEPTED, False, "Suspended", context.suspension.message)
    rejection = context.wanted.rejected.get(record.name)
    if rejection:
        return Condition(_ACCEPTED, False, rejection.reason, rejection.message)
    for refusal in context.refusals:
        if refusal.ref.kind == KNATIVE_SERVICE and refusal.ref.name == record.name:
            return Condition(_ACCEPTED, False, refusal.reason, refusal.message)
    if built is None and record.name not in context.wanted.unbuilt:
        why = "; ".join(context.wanted.problems) or "the tenant could not be built"
        return Condition(_ACCEPTED, False, "TenantNotReady", why)
    return Condition(_ACCEPTED, True, "Accepted")


def _built(accepted: FunctionCondition, build: BuildState) -> FunctionCondition:
    if not accepted.status:
        return Condition(_BUILT, None, "NotBuilt", "this source is not built")
    if build.ended is None:
        return Condition(_BUILT, None, "Building", build.progress)
    if not build.ended.image:
        return Condition(_BUILT, False, build.ended.reason, build.ended.message)
    return Condition(_BUILT, True, "Built", f"runtime {build.ended.runtime}" if build.ended.runtime else "")


def _revision(
    record: FunctionRecord, context: OwnFunctionContext, built: Manifest | None, service: Manifest | None
) -> FunctionCondition:
    if built is None:
        return Condition(_REVISION, None, "NotDeployed", "this specification is not deployed")
    name = built["spec"]["template"]["metadata"]["name"]
    status = service.get("status", {}) if service else {}
    if service is None or status.get("latestCreatedRevisionName") != name or not _is_current(service):
        return Condition(_REVISION, None, DEPLOYING, f"revision {name} is being created")
    if status.get("latestReadyRevisionName") == name:
        return Condition(_REVISION, True, "Ready")
    return _unready_revision(name, record, context, service)


def _unready_revision(
    name: str, record: FunctionRecord, context: OwnFunctionContext, service: Manifest
) -> FunctionCondition:
    pods = of_revisions({name}, context.pods)
    reason, message = crash_of(pods) or problem_of(of_revisions({name}, context.deployments), pods)
    if reason:
        return Condition(_REVISION, False, reason, f"revision {name}: {message}")
    known = record.status.condition(_REVISION)
    failed = condition_of(service, "ConfigurationsReady")
    if failed.get("status") == "False":
        # Knative ends the pods of a revision that did not become ready in time; what they said is worth more than that.
        if known and known.status is False and known.message.startswith(f"revision {name}: "):
            return known
        return Condition(_REVISION, False, failed.get("reason") or "RevisionFailed", failed.get("message", ""))
    starting = not_answering(pods, record.spec.port) or f"revision {name} is starting"
    return Condition(_REVISION, None, DEPLOYING, starting)


def _traffic(
    record: FunctionRecord, context: OwnFunctionContext, built: Manifest | None, service: Manifest | None
) -> FunctionCondition:
    missing = missing_revisions(record.spec, built) if built else ()
    if missing:
        names = ", ".join(missing)
        return Condition(
            _TRAFFIC,
            False,
            "RevisionMissing",
            f"{names} does not exist any more; its share goes to the latest revision",
        )
    if service is None:
        return Condition(_TRAFFIC, None, "NotDeployed", "there is nothing to send calls to")
    routes = condition_of(service, "RoutesReady")
    assigned = _wanted_shares(record, context, built) in {None, shares_in(service["spec"].get("traffic", ()))}
    if not assigned and built is None and record.name not in context.wanted.traffic:
        build = context.builds.get(record.name, BuildState())
        message = "the latest revision gets one of the shares, and is not built; the calls stay where they are"
        return Condition(_TRAFFIC, False if build.ended else None, "NotBuilt", message)
    current = _is_current(service) and assigned
    if routes_calls(service) and current:
        return Condition(_TRAFFIC, True, "Assigned")
    if routes.get("status") == "False" and current:
        return Condition(_TRAFFIC, False, routes.get("reason") or "NotAssigned", routes.get("message", ""))
    return Condition(_TRAFFIC, None, DEPLOYING, "calls are being assigned to revisions")


def _wanted_shares(
    record: FunctionRecord, context: OwnFunctionContext, built: Manifest | None
) -> tuple[Share, ...] | None:
    """The shares that the Knative Service gets; None: it stays as it is."""
    if built is not None:
        return shares_in(built["spec"]["traffic"])
    if record.name in context.wanted.unbuilt:
        return tuple((each.percent, each.revision, each.tag) for each in record.spec.traffic)
    return None


def _ready(conditions: Sequence[FunctionCondition]) -> FunctionCondition:
    # A definite failure explains more than a state that is not known yet.
    worst = next((each for each in conditions if each.status is False), None) or next(
        (each for each in conditions if each.status is None), None
    )
    if worst is None:
        return Condition(_READY, True, "Ready")
    return Condition(_READY, worst.status, worst.reason, worst.message)


def _is_current(service: Manifest) -> bool:
    return bool(service.get("status", {}).get("observedGeneration") == service["metadata"].get("generation"))


def _is_service(manifest: Manifest, name: str) -> bool:
    return (manifest["apiVersion"], manifest["kind"]) == (
        KNATIVE_SERVICE.api_version,
        KNATIVE_SERVICE.kind,
    ) and manifest["metadata"]["name"] == name
