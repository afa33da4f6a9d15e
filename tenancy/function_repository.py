"""Stores tenants' own functions as `Function` objects, with optimistic locking, and reads what runs of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from policies.labels import BUILD
from policies.model import Manifest
from policies.names import NamespaceName
from policies.own_build import CONTAINER as BUILD_CONTAINER
from tenancy.kubernetes.client import Cluster, Ref, ref_of
from tenancy.kubernetes.kinds import FUNCTIONS, POD, REVISION, REVISION_LABEL, SERVICE_LABEL
from tenancy.model.function import (
    FunctionListing,
    FunctionRecord,
    function_listing_of,
    function_manifest_of,
    function_record_of,
)

# Field manager of `/v1/functions`.
MANAGER = "osfaas-functions-api"
CONTAINER = "function"
# Of a response with logs: so many containers, of which each gives so much.
MAX_CONTAINERS = 10
MAX_LOG_BYTES = 65_536
MAX_BUILD_PODS = 3


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a function.

    Attributes:
        created_at: RFC 3339.
        image: by digest.
        ready: whether it became ready; None: not yet known.
        reason, message: Knative's, if it is not ready.
    """

    name: str
    created_at: str
    image: str
    ready: bool | None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerLog:
    """The end of the output of one function container; `running`: whether it still runs, or ended."""

    pod: str
    revision: str
    running: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContainer:
    """A function container whose output can be read.

    Attributes:
        key: its id; a container that is started again has another.
        previous: whether it is the one before the current one of its pod.
    """

    pod: str
    revision: str
    key: str
    previous: bool = False


class FunctionRepository(Protocol):
    """A repository of functions. Every method raises ClusterError, and RecordError for a malformed object."""

    def list(self, namespace: NamespaceName) -> FunctionListing:
        """All functions of a tenant; those that cannot be read are named apart, and raise nothing."""
        ...

    def count(self, namespace: NamespaceName) -> int:
        """The number of functions of a tenant."""
        ...

    def get(self, namespace: NamespaceName, name: str) -> FunctionRecord | None:
        """One function, or None."""
        ...

    def create(self, record: FunctionRecord) -> FunctionRecord:
        """Stores a new function.

        Raises:
            ConflictError: there is one of this name already.
        """
        ...

    def update(self, record: FunctionRecord) -> FunctionRecord:
        """Replaces the spec of the version that was read (`record.resource_version`).

        Raises:
            ConflictError: it has changed since.
        """
        ...

    def delete(self, record: FunctionRecord) -> None:
        """Deletes the version that was read; without `record.resource_version`, any version of this object.

        Raises:
            ConflictError: it has changed since.
        """
        ...

    def revisions(self, namespace: NamespaceName, name: str) -> tuple[Revision, ...]:
        """The revisions of a function, the newest first."""
        ...

    def build_logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        """The ends of the outputs of the pods of its last build, the newest first."""
        ...

    def logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        """The ends of the outputs of its newest pods, and of the container that ended last in each of them."""
        ...

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        """The containers of its newest pods that run or ended, and the one before each."""
        ...


class KubernetesFunctionRepository:
    """`FunctionRepository` in a Kubernetes cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def list(self, namespace: NamespaceName) -> FunctionListing:
        """See `FunctionRepository`."""
        return function_listing_of(self._cluster.list(FUNCTIONS, namespace=namespace).items)

    def count(self, namespace: NamespaceName) -> int:
        """See `FunctionRepository`."""
        return self._cluster.count(FUNCTIONS, namespace=namespace)

    def get(self, namespace: NamespaceName, name: str) -> FunctionRecord | None:
        """See `FunctionRepository`."""
        found = self._cluster.get(Ref(FUNCTIONS, namespace, name))
        return function_record_of(found) if found else None

    def create(self, record: FunctionRecord) -> FunctionRecord:
        """See `FunctionRepository`."""
        return function_record_of(self._cluster.create(function_manifest_of(record), manager=MANAGER))

    def update(self, record: FunctionRecord) -> FunctionRecord:
        """See `FunctionRepository`."""
        manifest = function_manifest_of(record)
        # A merge patch would keep variables that are gone.
        operations = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": record.resource_version},
            {"op": "replace", "path": "/spec", "value": manifest["spec"]},
        ]
        return function_record_of(self._cluster.patch(ref_of(manifest), operations, manager=MANAGER))

    def delete(self, record: FunctionRecord) -> None:
        """See `FunctionRepository`."""
        ref = Ref(FUNCTIONS, record.namespace, record.name)
        self._cluster.delete(ref, uid=record.uid, resource_version=record.resource_version)

    def revisions(self, namespace: NamespaceName, name: str) -> tuple[Revision, ...]:
        """See `FunctionRepository`."""
        items = self._cluster.list(REVISION, namespace=namespace, labels=f"{SERVICE_LABEL}={name}").items
        found = [_revision(item) for item in items if not item["metadata"].get("deletionTimestamp")]
        return tuple(sorted(found, key=lambda revision: (revision.created_at, revision.name), reverse=True))

    def build_logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        """See `FunctionRepository`."""
        pods = self._cluster.list(POD, namespace=namespace, labels=f"{BUILD}={name}").items
        newest = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
        logs = []
        for pod in newest[:MAX_BUILD_PODS]:
            ref = Ref(POD, namespace, pod["metadata"]["name"])
            text = self._cluster.log(ref, BUILD_CONTAINER, lines=lines, most_bytes=MAX_LOG_BYTES)
            if text is not None:
                running = pod.get("status", {}).get("phase") == "Running"
                logs.append(ContainerLog(ref.name, "", running, text))
        return tuple(logs)

    def logs(self, namespace: NamespaceName, name: str, *, lines: int) -> tuple[ContainerLog, ...]:
        """See `FunctionRepository`."""
        logs: list[ContainerLog] = []
        for pod in _newest_pods(self._cluster, namespace, name):
            for running in (True, False):
                if len(logs) == MAX_CONTAINERS:
                    return tuple(logs)
                if _has_output(pod, running=running):
                    logs += self._log(pod, lines, running=running)
        return tuple(logs)

    def containers(self, namespace: NamespaceName, name: str) -> tuple[LogContainer, ...]:
        """See `FunctionRepository`."""
        found = [each for pod in _newest_pods(self._cluster, namespace, name) for each in _log_containers(pod)]
        return tuple(found[:MAX_CONTAINERS])

    def _log(self, pod: Manifest, lines: int, *, running: bool) -> tuple[ContainerLog, ...]:
        metadata = pod["metadata"]
        ref = Ref(POD, metadata["namespace"], metadata["name"])
        # A container that ended and was not started again is the current one; only a later one makes it the previous.
        previous = not running and not _state(pod).get("state", {}).get("terminated")
        text = self._cluster.log(ref, CONTAINER, lines=lines, most_bytes=MAX_LOG_BYTES, previous=previous)
        if text is None:
            return ()
        return (ContainerLog(ref.name, metadata.get("labels", {}).get(REVISION_LABEL, ""), running, text),)


def _newest_pods(cluster: Cluster, namespace: NamespaceName, name: str) -> list[Manifest]:
    """The pods of a function, the newest first."""
    pods = cluster.list(POD, namespace=namespace, labels=f"{SERVICE_LABEL}={name}").items
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def _log_containers(pod: Manifest) -> Iterator[LogContainer]:
    status, metadata = _state(pod), pod["metadata"]
    state, before = status.get("state", {}), status.get("lastState", {}).get("terminated", {})
    ended = state.get("terminated", {})
    current = (status.get("containerID") if "running" in state else None) or ended.get("containerID")
    for key, previous in ((before.get("containerID"), True), (current, False)):
        if key:
            revision = metadata.get("labels", {}).get(REVISION_LABEL, "")
            yield LogContainer(pod=metadata["name"], revision=revision, key=key, previous=previous)


def _has_output(pod: Manifest, *, running: bool) -> bool:
    status = _state(pod)
    if running:
        return "running" in status.get("state", {})
    return bool(status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated"))


def _state(pod: Manifest) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((each for each in statuses if each.get("name") == CONTAINER), {})


def _revision(manifest: Manifest) -> Revision:
    metadata = manifest["metadata"]
    conditions = manifest.get("status", {}).get("conditions", ())
    ready: dict[str, Any] = next((each for each in conditions if each.get("type") == "Ready"), {})
    return Revision(
        name=metadata["name"],
        created_at=str(metadata.get("creationTimestamp", "")),
        image=manifest["spec"]["containers"][0]["image"],
        ready={"True": True, "False": False}.get(ready.get("status", "")),
        reason="" if ready.get("status") == "True" else ready.get("reason", ""),
        message="" if ready.get("status") == "True" else ready.get("message", ""),
    )
