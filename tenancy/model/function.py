"""A tenant's own function: the custom resource `Function` (`manifests/crd/functions.yaml`), as values.

It lives in the tenant's namespace. The project's members write `spec`, over `/v1/functions` or from Git; only the
controller writes `status`.

    apiVersion: osfaas.dev/v1alpha1
    kind: Function
    metadata: {name: hello, namespace: faas-3d1f…}
    spec:
      image: registry.example.org/atlas/hello@sha256:…       # or source: sha256:…, from which it is built
      environment: {GREETING: hello}
      cpuMillis: 250
      memoryMiB: 256
      secrets: [db-password]                                                            # optional
      traffic: [{percent: 90, revision: hello-3f9c2a1b}, {percent: 10, tag: canary}]     # optional
    status:
      observedGeneration: 3
      latestCreatedRevision: hello-77aa01c4
      latestReadyRevision: hello-77aa01c4
      activeRevisions: [{name: hello-3f9c2a1b, percent: 90}, {name: hello-77aa01c4, percent: 10, tag: canary}]
      conditions: [{type: Ready, status: "True", reason: Ready, message: "", lastTransitionTime: …}]
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from policies.labels import API_GROUP, API_VERSION, FUNCTION_KIND
from policies.model import Manifest
from policies.own_function import ALL_TO_LATEST, OwnFunction, TrafficTarget
from tenancy.model.condition import Condition, conditions_in
from tenancy.model.errors import RecordError


class FunctionConditionType(Enum):
    """The conditions of a function, in the order in which a change takes effect."""

    ACCEPTED = "Accepted"
    BUILT = "Built"
    REVISION = "RevisionReady"
    TRAFFIC = "TrafficAssigned"
    READY = "Ready"


FunctionCondition = Condition[FunctionConditionType]


@dataclass(frozen=True, slots=True)
class ActiveRevision:
    """A revision that gets calls: its share in percent, and its tag, if it has one."""

    name: str
    percent: int
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionBuild:
    """The last build of a function that ended.

    Attributes:
        key: which build it is (`policies.own_build.build_key`).
        source: digest of its archive.
        image: what it pushed; "" if it failed.
        runtime: which was detected; "" if that is not known.
        reason, message: why it failed.
    """

    key: str
    source: str
    image: str = ""
    runtime: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RevisionStarts:
    """How often a revision was started because of a call.

    Attributes:
        cold_starts: times that it got pods after it had none; the start at its deployment does not count.
        active_since: when it got pods last, as Knative says; "" if it never had any.
    """

    name: str
    cold_starts: int = 0
    active_since: str = ""


@dataclass(frozen=True, slots=True)
class OwnFunctionStatus:
    """The status that the controller reported last.

    Attributes:
        url: address inside the cluster.
        image_digest: of the specification that was observed.
        latest_created, latest_ready: names of revisions; "" while there is none.
        starts: of each existing revision.
        build: the last one that ended, of a function with a source.
    """

    observed_generation: int = 0
    url: str = ""
    image_digest: str = ""
    latest_created: str = ""
    latest_ready: str = ""
    active: tuple[ActiveRevision, ...] = ()
    conditions: tuple[FunctionCondition, ...] = ()
    starts: tuple[RevisionStarts, ...] = ()
    build: FunctionBuild | None = None

    def condition(self, type_: FunctionConditionType) -> FunctionCondition | None:
        """The condition of this type, if it was reported."""
        return next((each for each in self.conditions if each.type is type_), None)


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One `Function` object.

    Attributes:
        namespace: of the tenant.
        generation: Kubernetes' generation of the spec; 0 for a record that was never stored.
        resource_version: as read, for optimistic locking; "" for a record that was never stored.
        uid: of the object; "" for a record that was never stored.
        created_at: RFC 3339; "" for a record that was never stored.
    """

    namespace: str
    spec: OwnFunction
    status: OwnFunctionStatus = field(default_factory=OwnFunctionStatus)
    generation: int = 0
    resource_version: str = ""
    uid: str = ""
    created_at: str = ""

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class MalformedFunction:
    """A `Function` object that cannot be read.

    Attributes:
        problem: one clause.
        secrets: names of secrets that it may mean.
    """

    name: str
    problem: str
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FunctionListing:
    """The `Function` objects of a namespace, both sorted by name."""

    records: tuple[FunctionRecord, ...] = ()
    malformed: tuple[MalformedFunction, ...] = ()

    def __len__(self) -> int:
        return len(self.records) + len(self.malformed)


def function_listing_of(manifests: Iterable[Mapping[str, Any]]) -> FunctionListing:
    """Parses `Function` objects from the API server. One that cannot be read must not hide the others."""
    records, malformed = [], []
    for manifest in manifests:
        try:
            records.append(function_record_of(manifest))
        except RecordError as error:
            named = (manifest.get("spec") or {}).get("secrets") or ()
            secrets = frozenset(map(str, named)) if isinstance(named, list | tuple) else frozenset()
            malformed.append(MalformedFunction(str(manifest["metadata"]["name"]), str(error), secrets))
    return FunctionListing(
        tuple(sorted(records, key=lambda record: record.name)), tuple(sorted(malformed, key=lambda each: each.name))
    )


def function_record_of(manifest: Mapping[str, Any]) -> FunctionRecord:
    """Parses a `Function` object from the API server.

    Raises:
        RecordError: a field is missing or violates the CRD; names the record and the field.
    """
    metadata = manifest.get("metadata", {})
    try:
        return FunctionRecord(
            namespace=metadata["namespace"],
            spec=_spec(metadata["name"], manifest["spec"]),
            status=_status(manifest.get("status") or {}),
            generation=int(metadata.get("generation", 0)),
            resource_version=str(metadata.get("resourceVersion", "")),
            uid=str(metadata.get("uid", "")),
            created_at=str(metadata.get("creationTimestamp", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"Function {metadata.get('name')} is malformed: {error!r}") from error


def function_manifest_of(record: FunctionRecord) -> Manifest:
    """The `Function` object to write: name and spec, without status."""
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": FUNCTION_KIND,
        "metadata": {"name": record.name, "namespace": record.namespace},
        "spec": _fields(record.spec),
    }


def _fields(spec: OwnFunction) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "image": spec.image or None,
        "source": spec.source or None,
        "command": list(spec.command),
        "args": list(spec.args),
        "port": spec.port,
        "healthPath": spec.health_path,
        "runAsUser": spec.run_as_user,
        "environment": dict(sorted(spec.environment.items())),
        "cpuMillis": spec.cpu_millis,
        "memoryMiB": spec.memory_mib,
        "concurrency": spec.concurrency,
        "timeoutSeconds": spec.timeout_seconds,
        "minScale": spec.min_scale,
        "maxScale": spec.max_scale,
        "secrets": list(spec.secrets),
        "objects": spec.objects,
        "attempt": spec.attempt,
        "traffic": None if spec.traffic == ALL_TO_LATEST else [_target_fields(target) for target in spec.traffic],
    }
    return {name: value for name, value in fields.items() if value is not None and value not in ([], {})}


def _target_fields(target: TrafficTarget) -> dict[str, Any]:
    fields = {"percent": target.percent, "revision": target.revision, "tag": target.tag}
    return {name: value for name, value in fields.items() if value is not None}


def _spec(name: str, spec: Mapping[str, Any]) -> OwnFunction:
    usual = OwnFunction(name=name)
    image, source = str(spec.get("image", "")), str(spec.get("source", ""))
    if bool(image) == bool(source):
        raise ValueError("it needs either an image or a source")
    return OwnFunction(
        name=name,
        image=image,
        source=source,
        command=tuple(map(str, spec.get("command", ()))),
        args=tuple(map(str, spec.get("args", ()))),
        port=int(spec.get("port", usual.port)),
        health_path=spec.get("healthPath"),
        run_as_user=int(spec.get("runAsUser", usual.run_as_user)),
        environment={str(key): str(value) for key, value in spec.get("environment", {}).items()},
        cpu_millis=_positive(spec, "cpuMillis", usual.cpu_millis),
        memory_mib=_positive(spec, "memoryMiB", usual.memory_mib),
        concurrency=_positive(spec, "concurrency", usual.concurrency),
        timeout_seconds=_positive(spec, "timeoutSeconds", usual.timeout_seconds),
        min_scale=int(spec.get("minScale", usual.min_scale)),
        max_scale=_positive(spec, "maxScale", usual.max_scale),
        secrets=tuple(sorted(map(str, spec.get("secrets", ())))),
        objects=bool(spec.get("objects", usual.objects)),
        attempt=int(spec.get("attempt", usual.attempt)),
        traffic=_traffic(spec.get("traffic")),
    )


def _positive(spec: Mapping[str, Any], name: str, usual: int) -> int:
    value = int(spec.get(name, usual))
    if value < 1:
        raise ValueError(f"{name} must be at least 1")
    return value


def _traffic(targets: Any) -> tuple[TrafficTarget, ...]:
    if not targets:
        return ALL_TO_LATEST
    parsed = tuple(
        TrafficTarget(int(target["percent"]), target.get("revision"), target.get("tag")) for target in targets
    )
    if sum(target.percent for target in parsed) != 100:  # noqa: PLR2004 - percent
        raise ValueError("the percentages of traffic must be 100 together")
    return parsed


def _status(status: Mapping[str, Any]) -> OwnFunctionStatus:
    return OwnFunctionStatus(
        observed_generation=int(status.get("observedGeneration", 0)),
        url=status.get("url", ""),
        image_digest=status.get("imageDigest", ""),
        latest_created=status.get("latestCreatedRevision", ""),
        latest_ready=status.get("latestReadyRevision", ""),
        active=tuple(
            ActiveRevision(each["name"], int(each["percent"]), each.get("tag"))
            for each in status.get("activeRevisions", ())
        ),
        conditions=conditions_in(status, FunctionConditionType),
        starts=tuple(
            RevisionStarts(each["name"], int(each.get("coldStarts", 0)), each.get("activeSince", ""))
            for each in status.get("revisions", ())
        ),
        build=build_of(status["build"]) if status.get("build") else None,
    )


def build_of(fields: Mapping[str, Any]) -> FunctionBuild:
    """Parses `status.build`."""
    return FunctionBuild(**{each.name: str(fields.get(each.name, "")) for each in dataclasses.fields(FunctionBuild)})


def build_fields(build: FunctionBuild) -> dict[str, str]:
    """`status.build`, with its empty fields: a merge patch would keep those of an earlier build."""
    return dataclasses.asdict(build)
