"""A trigger: what makes a function run without a caller. The custom resource `FunctionTrigger`, as values.

It lives in the tenant's namespace, apart from its `Function`: a schedule that fires must not cause a reconcile of the
tenant, and the gateway may read triggers without functions. `/v1/functions/{name}/triggers` writes `spec`; only the
scheduler writes `status` (`manifests/crd/functiontriggers.yaml`).

    apiVersion: osfaas.dev/v1alpha1
    kind: FunctionTrigger
    metadata: {name: thumbnail.uploads, namespace: faas-3d1f…, ownerReferences: [the Function]}
    spec:
      function: thumbnail
      userID: 77aa…
      trustID: 0c4f…
      definedAt: 2026-11-29T12:00:00Z
      objectCreated: {container: photos, prefix: in/, output: "small/{rest}", overwrite: false}
      schedule: {cron: "0 3 * * *", timeZone: Europe/Zurich}         # one of the two
    status:
      observedGeneration: 1
      lastScheduledAt: 2026-11-29T02:00:00Z
      lastFiring: {outcome: Succeeded, message: "", at: 2026-11-29T02:00:03Z, id: …}
      conditions: [{type: Ready, status: "True", reason: Ready, message: "", lastTransitionTime: …}]
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from policies.labels import API_GROUP, API_VERSION, FUNCTION_KIND, TRIGGER_KIND
from policies.model import Manifest
from tenancy.model.errors import RecordError
from tenancy.model.schedule import UTC, Schedule
from tenancy.model.times import timestamp

MAX_TRIGGER_NAME = 40
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
PLACEHOLDERS = ("object", "rest", "basename", "stem")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCreated:
    """Fires when an object is created whose name begins with a prefix; the object is the function's input.

    Attributes:
        container: of the objects.
        prefix: of their names.
        output: `container/name` of the function's output, with placeholders in the name; None: it has none.
        overwrite: whether the output may replace an object.
    """

    container: str
    prefix: str = ""
    output: str | None = None
    overwrite: bool = False

    def matches(self, container: str, name: str) -> bool:
        """Whether an object is of this trigger."""
        return container == self.container and name.startswith(self.prefix)

    def output_for(self, name: str) -> str | None:
        """`container/name` of the output for an object that matches."""
        if self.output is None:
            return None
        basename = name.rpartition("/")[2]
        values = {
            "object": name,
            "rest": name.removeprefix(self.prefix),
            "basename": basename,
            "stem": basename.rpartition(".")[0] or basename,
        }
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.output)

    def written(self) -> tuple[str, str] | None:
        """Container of the outputs, and the text with which all of their names begin."""
        if self.output is None:
            return None
        container, _, name = self.output.partition("/")
        match = _PLACEHOLDER.search(name)
        return container, name[: match.start()] if match else name


def unknown_placeholder(output: str) -> str | None:
    """The first placeholder of an output that is none of ours."""
    return next((name for name in _PLACEHOLDER.findall(output) if name not in PLACEHOLDERS), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The specification of a trigger.

    Attributes:
        function, name: the function, and the trigger of this function.
        source: what fires it.
        user_id: the user for whom it acts.
        trust_id: the Keystone trust by which it acts; hidden from `repr`.
        defined_at: when it was defined; times of a schedule before that are not made up for.
    """

    function: str
    name: str
    source: ObjectCreated | Schedule
    user_id: str
    trust_id: str = field(repr=False)
    defined_at: dt.datetime | None = None


class Outcome(Enum):
    """Outcome of one firing."""

    SUCCEEDED = "Succeeded"
    # The output existed already, so an earlier delivery did the work, or somebody else wrote it.
    EXISTS = "OutputExists"
    # The function's answer says that calling it again does not help (4xx).
    REJECTED = "Rejected"
    # It may succeed later. The sender of an event delivers it again; a schedule waits for its next time.
    FAILED = "Failed"
    # It may not act: its trust, its user, a role, its project, or a loop.
    REFUSED = "Refused"
    # The time was missed, or the firing before had not ended.
    SKIPPED = "Skipped"
    # The scheduler ended after it had claimed the time; the function may have been called.
    STARTED = "Started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """The last firing. `id`: the same for every delivery of the same event, or the same time of a schedule."""

    outcome: Outcome
    at: dt.datetime
    id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The condition `Ready`: whether the trigger may fire; `reason` is one CamelCase word."""

    status: bool
    reason: str
    message: str = ""
    since: dt.datetime | None = None


READY = "Ready"
TRUST_REFUSED, TRUST_FOREIGN = "TrustRefused", "TrustForeign"
ROLE_MISSING, SUSPENDED, LOOP = "RoleMissing", "ProjectSuspended", "Loop"
FUNCTION_NOT_READY, NO_OBJECTS = "FunctionNotReady", "FunctionTakesNoObjects"
# Reasons that a new trust of a member ends.
RENEWABLE = frozenset({TRUST_REFUSED, TRUST_FOREIGN, ROLE_MISSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerStatus:
    """The status that the scheduler reported last; `scheduled_at`: the last time of the schedule that was claimed."""

    observed_generation: int = 0
    scheduled_at: dt.datetime | None = None
    firing: Firing | None = None
    readiness: Readiness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRecord:
    """One `FunctionTrigger` object.

    Attributes:
        function_uid: of the `Function` object with which it is deleted.
    """

    namespace: str
    spec: Trigger
    status: TriggerStatus = field(default_factory=TriggerStatus)
    generation: int = 0
    resource_version: str = ""
    uid: str = ""
    created_at: str = ""
    function_uid: str = ""

    @property
    def object_name(self) -> str:
        """Name of the object; a function's name has no dot."""
        return f"{self.spec.function}.{self.spec.name}"


def firing_id(uid: str, *parts: object) -> str:
    """The id of a firing: derived, so that every process and every delivery finds the same."""
    return hashlib.sha256(json.dumps([uid, *map(str, parts)]).encode()).hexdigest()[:32]


def trigger_record_of(manifest: Mapping[str, Any]) -> TriggerRecord:
    """Parses a `FunctionTrigger` object from the API server.

    Raises:
        RecordError: a field is missing or violates the CRD; names the record and the field.
    """
    metadata = manifest.get("metadata", {})
    try:
        owners = metadata.get("ownerReferences", ())
        return TriggerRecord(
            namespace=metadata["namespace"],
            spec=_spec(metadata["name"], manifest["spec"]),
            status=_status(manifest.get("status") or {}),
            generation=int(metadata.get("generation", 0)),
            resource_version=str(metadata.get("resourceVersion", "")),
            uid=str(metadata.get("uid", "")),
            created_at=str(metadata.get("creationTimestamp", "")),
            function_uid=next((each["uid"] for each in owners if each.get("kind") == FUNCTION_KIND), ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"FunctionTrigger {metadata.get('name')} is malformed: {error!r}") from error


def trigger_manifest_of(record: TriggerRecord) -> Manifest:
    """The `FunctionTrigger` object to write: name, owner and spec, without status."""
    api_version, spec, source = f"{API_GROUP}/{API_VERSION}", record.spec, record.spec.source
    fields: dict[str, Any] = {"function": spec.function, "userID": spec.user_id, "trustID": spec.trust_id}
    if spec.defined_at is not None:
        fields["definedAt"] = timestamp(spec.defined_at)
    if isinstance(source, Schedule):
        fields["schedule"] = {"cron": source.cron, "timeZone": source.time_zone}
    else:
        values = {"container": source.container, "prefix": source.prefix, "overwrite": source.overwrite}
        fields["objectCreated"] = {**values, **({"output": source.output} if source.output else {})}
    owner = {"apiVersion": api_version, "kind": FUNCTION_KIND, "name": spec.function, "uid": record.function_uid}
    metadata = {"name": record.object_name, "namespace": record.namespace, "ownerReferences": [owner]}
    return {"apiVersion": api_version, "kind": TRIGGER_KIND, "metadata": metadata, "spec": fields}


def trigger_status_fields(status: TriggerStatus) -> dict[str, Any]:
    """The `status` to write. A merge patch leaves what is None as it is."""
    fields: dict[str, Any] = {"observedGeneration": status.observed_generation}
    if status.scheduled_at is not None:
        fields["lastScheduledAt"] = timestamp(status.scheduled_at)
    if status.firing is not None:
        firing = status.firing
        about = {"outcome": firing.outcome.value, "message": firing.message, "id": firing.id}
        fields["lastFiring"] = {**about, "at": timestamp(firing.at)}
    if status.readiness is not None:
        ready = status.readiness
        since = {"lastTransitionTime": timestamp(ready.since)} if ready.since else {}
        fields["conditions"] = [
            {"type": READY, "status": str(ready.status), "reason": ready.reason, "message": ready.message, **since}
        ]
    return fields


def _spec(name: str, spec: Mapping[str, Any]) -> Trigger:
    function, _, own = name.partition(".")
    if spec["function"] != function or not own:
        raise ValueError("the name must be that of the function, a dot, and that of the trigger")
    return Trigger(
        function=function,
        name=own,
        source=source_of(spec),
        user_id=str(spec["userID"]),
        trust_id=str(spec["trustID"]),
        defined_at=_time(spec.get("definedAt")),
    )


def source_of(spec: Mapping[str, Any]) -> ObjectCreated | Schedule:
    """What fires a trigger, by its fields `objectCreated` or `schedule`.

    Raises:
        KeyError, TypeError, ValueError: it is malformed.
    """
    created, schedule = spec.get("objectCreated"), spec.get("schedule")
    if (created is None) == (schedule is None):
        raise ValueError("it must have one of objectCreated and schedule")
    if schedule is not None:
        return Schedule(str(schedule["cron"]), str(schedule.get("timeZone", UTC)))
    assert created is not None
    return ObjectCreated(
        container=str(created["container"]),
        prefix=str(created.get("prefix", "")),
        output=str(created["output"]) if created.get("output") else None,
        overwrite=bool(created.get("overwrite", False)),
    )


def _status(status: Mapping[str, Any]) -> TriggerStatus:
    firing = status.get("lastFiring")
    ready = next((each for each in status.get("conditions", ()) if each.get("type") == READY), None)
    return TriggerStatus(
        observed_generation=int(status.get("observedGeneration", 0)),
        scheduled_at=_time(status.get("lastScheduledAt")),
        firing=Firing(
            outcome=Outcome(firing["outcome"]),
            at=dt.datetime.fromisoformat(firing["at"]),
            id=firing.get("id", ""),
            message=firing.get("message", ""),
        )
        if firing
        else None,
        readiness=Readiness(
            status=ready["status"] == "True",
            reason=ready.get("reason", ""),
            message=ready.get("message", ""),
            since=_time(ready.get("lastTransitionTime")),
        )
        if ready
        else None,
    )


def _time(text: Any) -> dt.datetime | None:
    return dt.datetime.fromisoformat(str(text)) if text else None
