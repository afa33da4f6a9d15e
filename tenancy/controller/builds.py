"""The builds of a tenant's functions: what runs, what has ended and how, and what has to begin.

The result of a build is the message with which its container ended, which is in the pod's status. No log is read.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.labels import BUILD, BUILD_KEY
from policies.model import Builds, Manifest
from policies.names import NamespaceName, ProjectId
from policies.own_build import CONTAINER, REGISTRY_SECRETS, build_key, repository_of
from policies.own_function import OwnBuilds, RegistryCredentials
from tenancy.controller.crashes import last_lines
from tenancy.controller.function_status import problem_of
from tenancy.kubernetes.client import Cluster, Ref, ref_of
from tenancy.kubernetes.kinds import JOB, POD, SECRET
from tenancy.model.errors import ForbiddenError, KindMissingError
from tenancy.model.function import FunctionBuild, FunctionRecord

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_JOB_OF_POD = "batch.kubernetes.io/job-name"
_MAX_CHARACTERS = 1_500
_OUT_OF_MEMORY = "OOMKilled"


@dataclass(frozen=True, slots=True)
class ObservedBuilds:
    """Jobs, their pods and the Secrets for the registry, in a tenant's namespace."""

    jobs: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    secrets: tuple[Manifest, ...] = ()

    @property
    def objects(self) -> dict[Ref, Manifest]:
        """Those that the controller makes and deletes."""
        return {ref_of(each): each for each in (*self.jobs, *self.secrets)}


@dataclass(frozen=True, slots=True)
class BuildState:
    """How far the build of a function's present source is.

    Attributes:
        ended: its result; None: it has not ended.
        progress: a sentence about one that has not.
    """

    ended: FunctionBuild | None = None
    progress: str = ""


@dataclass(frozen=True, slots=True)
class BuildDecision:
    """What the builders of objects get, and what the report says, by function."""

    own: OwnBuilds = field(default_factory=OwnBuilds)
    states: Mapping[str, BuildState] = field(default_factory=dict)

    @property
    def unfinished(self) -> bool:
        """Whether a build has to be looked at again soon."""
        return any(state.ended is None for state in self.states.values())


def observe_builds(cluster: Cluster, namespace: NamespaceName) -> ObservedBuilds | None:
    """Reads them; None while the RoleBinding that allows it is missing.

    Raises:
        ClusterError: they cannot be read.
    """
    try:
        secrets = [cluster.get(Ref(SECRET, namespace, name)) for name in REGISTRY_SECRETS]
        jobs = cluster.list(JOB, namespace=namespace, labels=BUILD).items
        pods = cluster.list(POD, namespace=namespace, labels=BUILD).items if jobs else ()
    except (ForbiddenError, KindMissingError):
        return None
    return ObservedBuilds(jobs, pods, tuple(each for each in secrets if each))


def decide_builds(
    records: Iterable[FunctionRecord],
    observed: ObservedBuilds | None,
    builds: Builds,
    credentials: RegistryCredentials,
    project_id: ProjectId,
) -> BuildDecision:
    """Which builds have ended, and which begin.

    Args:
        records: of the tenant, sorted.
        observed: None: not known, so nothing begins.
        builds: settings.
        credentials: of the project.
        project_id: of the tenant.
    """
    states: dict[str, BuildState] = {}
    stay, waiting, running = set(), [], 0
    for record in (each for each in records if each.spec.source):
        key, name = build_key(record.spec), record.name
        known = record.status.build if record.status.build and record.status.build.key == key else None
        job = _job_of(name, key, observed.jobs if observed else ())
        if job is not None:
            stay.add(job["metadata"]["name"])
        if known is None and job is not None and observed is not None:
            known = _result_of(record, job, _pods_of(job, observed.pods), builds, project_id)
        if known is not None:
            states[name] = BuildState(known)
        elif job is not None and observed is not None:
            running += 1
            pods = _pods_of(job, observed.pods)
            if _is_over(job) and not pods:
                # Its pod has gone with the result. Without the Job, the next reconcile builds again.
                stay.discard(job["metadata"]["name"])
            states[name] = BuildState(progress=_progress(pods))
        else:
            waiting.append(name)
            states[name] = BuildState(progress="it waits for other builds of the project")
    begin = frozenset(waiting[: max(0, builds.per_project - running)]) if observed else frozenset()
    own = OwnBuilds(
        images={name: state.ended.image for name, state in states.items() if state.ended and state.ended.image},
        wanted=begin,
        jobs=frozenset(stay),
        running=bool(running),
        credentials=credentials if observed else None,
    )
    begun = {name: replace(states[name], progress="it begins") for name in begin}
    return BuildDecision(own, {**states, **begun})


def _job_of(function: str, key: str, jobs: Iterable[Manifest]) -> Manifest | None:
    for job in jobs:
        metadata = job["metadata"]
        mine = metadata["labels"].get(BUILD) == function and metadata.get("annotations", {}).get(BUILD_KEY) == key
        if mine and not metadata.get("deletionTimestamp"):
            return job
    return None


def _pods_of(job: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """The newest last."""
    name = job["metadata"]["name"]
    mine = [each for each in pods if each["metadata"].get("labels", {}).get(_JOB_OF_POD) == name]
    return sorted(mine, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def _result_of(
    record: FunctionRecord, job: Manifest, pods: Sequence[Manifest], builds: Builds, project_id: ProjectId
) -> FunctionBuild | None:
    """The result of a Job, or None; a pod that has pushed is enough, its Job is told later."""
    base = FunctionBuild(key=build_key(record.spec), source=record.spec.source)
    for pod in pods:
        ended = _ended(pod)
        said = _said(ended)
        if ended.get("exitCode") == 0 and _DIGEST.fullmatch(str(said.get("digest", ""))):
            image = f"{builds.registry}/{repository_of(project_id, record.name)}@{said['digest']}"
            return replace(base, image=image, runtime=str(said.get("runtime", ""))[:40])
    failed = _condition(job, "Failed")
    if not failed:
        return None
    if failed.get("reason") == "DeadlineExceeded":
        message = f"it did not end within {builds.deadline_seconds} seconds; the platform was busy, or a server slow"
        return replace(base, reason="DeadlineExceeded", message=f"{message}: deploy it again with --again")
    ended = _ended(pods[-1]) if pods else {}
    return replace(base, reason="BuildFailed", message=_why(ended, builds))


def _why(ended: Mapping[str, Any], builds: Builds) -> str:
    said = _said(ended)
    if ended.get("reason") == _OUT_OF_MEMORY:
        return f"it needed more than {builds.memory_mib} MiB; install fewer or smaller packages"
    if said.get("error"):
        stage = f"{str(said['stage'])[:20]}: " if said.get("stage") else ""
        return f"{stage}{said['error']}"[:_MAX_CHARACTERS].rstrip(".")
    output = last_lines(str(ended.get("message", "")))
    code = f"with exit code {ended['exitCode']}" if "exitCode" in ended else "without a result"
    return f"it ended {code}; deploy it again with --again{'; its last output: ' if output else ''}{output}"


def _progress(pods: Sequence[Manifest]) -> str:
    if not pods:
        return "it waits for its pod; if that lasts, the project's quota is used up"
    reason, message = problem_of((), pods[-1:])
    attempt = f" (attempt {len(pods)})" if len(pods) > 1 else ""
    return f"{reason}: {message}" if reason else f"it runs{attempt}"


def _ended(pod: Manifest) -> Mapping[str, Any]:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("name") == CONTAINER:
            ended: Mapping[str, Any] = container.get("state", {}).get("terminated") or {}
            return ended
    return {}


def _said(ended: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result that a container wrote. It may have run code of others, so it is data like any other."""
    try:
        found = json.loads(str(ended.get("message", "")))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _condition(job: Manifest, type_: str) -> Mapping[str, Any]:
    conditions = job.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each.get("type") == type_ and each.get("status") == "True"), {})


def _is_over(job: Manifest) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))
