"""Executes a plan, each action by itself, so that one refusal does not stop the others."""

import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from policies.model import Manifest
from tenancy.controller.plan import (
    Action,
    Applied,
    Apply,
    Delete,
    Plan,
    Refusal,
    RemoveFields,
    Reroute,
    content_of,
    digest_of,
)
from tenancy.controller.snapshot import Snapshot
from tenancy.kubernetes.client import Cluster, Ref
from tenancy.kubernetes.kinds import NAMESPACE
from tenancy.model.errors import ClusterError, ConflictError, UnavailableError

log = logging.getLogger(__name__)


class NoLongerLeadingError(Exception):
    """Another replica leads now; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The changes, and those that Kubernetes rejected.

    Attributes:
        created, corrected, deleted: objects that changed; an apply that changed nothing is in none of them.
        failures: refusals of the API server, with its messages.
    """

    created: tuple[Ref, ...] = ()
    corrected: tuple[Ref, ...] = ()
    deleted: tuple[Ref, ...] = ()
    failures: tuple[Refusal, ...] = ()


def execute(
    cluster: Cluster,
    plan: Plan,
    snapshot: Snapshot,
    remembered: MutableMapping[Ref, Applied],
    may_write: Callable[[], bool],
) -> ApplyResult:
    """Executes the actions in their order.

    Args:
        cluster: the cluster to change.
        plan: the actions.
        snapshot: the input of the plan, to distinguish a correction from an apply that changed nothing.
        remembered: updated with the new versions of the objects.
        may_write: called before each action.

    Raises:
        NoLongerLeadingError: `may_write` returned false.
        UnavailableError: the API server did not respond; the rest was not tried.
    """
    created, corrected, deleted, failures = [], [], [], []
    for action in plan.actions:
        if not may_write():
            raise NoLongerLeadingError
        ref = action.ref
        try:
            after = _do(cluster, action, remembered)
        except UnavailableError:
            raise
        except ClusterError as error:
            remembered.pop(ref, None)
            failures.append(_failure(action, error))
            if ref.kind == NAMESPACE:
                break
            continue
        before = snapshot.namespace if ref.kind == NAMESPACE else snapshot.objects.get(ref)
        if after is None:
            deleted.append(ref)
        elif before is None:
            created.append(ref)
        elif content_of(after) != content_of(before) and ref not in corrected:
            corrected.append(ref)
    return ApplyResult(tuple(created), tuple(corrected), tuple(deleted), tuple(failures))


def _do(cluster: Cluster, action: Action, remembered: MutableMapping[Ref, Applied]) -> Manifest | None:
    """Executes one action; returns the object afterwards, or None."""
    ref = action.ref
    if isinstance(action, Delete):
        cluster.delete(ref, uid=action.uid, grace_seconds=action.grace_seconds)
        remembered.pop(ref, None)
        return None
    if isinstance(action, RemoveFields):
        log.warning("%s: removing foreign fields: %s", ref, ", ".join(action.pointers))
        same = {"op": "test", "path": "/metadata/resourceVersion", "value": action.resource_version}
        removals = [{"op": "remove", "path": pointer} for pointer in action.pointers]
        return cluster.patch(ref, [same, *removals])
    if isinstance(action, Reroute):
        same = {"op": "test", "path": "/metadata/uid", "value": action.uid}
        return cluster.patch(ref, [same, {"op": "add", "path": "/spec/traffic", "value": list(action.traffic)}])
    manifest = action.manifest
    if action.uid:
        # An object that replaced the one in the snapshot may belong to another writer.
        manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": action.uid}}
    after = cluster.apply(manifest, force=action.force)
    metadata = after["metadata"]
    remembered[ref] = Applied(metadata["uid"], metadata["resourceVersion"], digest_of(action.manifest))
    return after


def _failure(action: Action, error: ClusterError) -> Refusal:
    if isinstance(error, ConflictError):
        if isinstance(action, Apply) and not action.force:
            return Refusal(action.ref, "NotOwned", f"{action.ref}: another field manager owns it: {error}")
        return Refusal(action.ref, "Changed", f"{action.ref} changed meanwhile; the controller retries: {error}")
    return Refusal(action.ref, "Refused", f"Kubernetes rejected {action.ref}: {error}")
