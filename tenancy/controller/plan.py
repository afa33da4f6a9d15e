"""Computes the actions that bring the cluster to the wanted state. Pure, so that a table of examples can test it.

The rules: an object that does not exist is created; one of ours is corrected; one that is not ours is left alone and
reported; one of ours that is no longer wanted is deleted. `tenancy.controller.ownership` decides which are ours.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.labels import OWN_FUNCTION
from policies.model import Manifest
from policies.tenant import TenantObjects
from tenancy.controller.function_status import shares_in
from tenancy.controller.ownership import foreign_fields, is_ours
from tenancy.controller.snapshot import Snapshot
from tenancy.kubernetes.client import Ref, ref_of
from tenancy.kubernetes.kinds import BUILD_KINDS, JOB, KNATIVE_SERVICE, NAMESPACE, OWNED_KINDS
from tenancy.kubernetes.pods import STOP_SECONDS, pods_to_end

# Kubernetes creates it in each namespace. In a tenant's, it is adopted, unless another manager has set our fields.
MADE_BY_KUBERNETES = ("ServiceAccount", "default")

_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "generation"})


@dataclass(frozen=True, slots=True)
class Apply:
    """Create an object, or correct it.

    Attributes:
        uid: of the object in the snapshot; "" if there was none.
        force: take our fields back from other managers, which is right only for an object of ours.
    """

    manifest: Manifest
    uid: str = ""
    force: bool = False

    @property
    def ref(self) -> Ref:
        return ref_of(self.manifest)


@dataclass(frozen=True, slots=True)
class RemoveFields:
    """Remove fields that other managers added to one of our objects, if it is still the version in the snapshot."""

    ref: Ref
    resource_version: str
    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reroute:
    """Give a Knative Service other shares, and leave its revision as it is, if it is still the one in the snapshot."""

    ref: Ref
    uid: str
    traffic: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object, if it is still the one in the snapshot.

    Attributes:
        grace_seconds: time for a pod's containers to end; None: the pod's own grace period.
    """

    ref: Ref
    uid: str
    grace_seconds: int | None = None


Action = Apply | RemoveFields | Reroute | Delete


@dataclass(frozen=True, slots=True)
class Refusal:
    """A wanted change that is not made; `reason` is one CamelCase word, `message` contains the remedy."""

    ref: Ref
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The version of an object after our last apply; while it is unchanged, there is nothing to do."""

    uid: str
    resource_version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in their order, and refusals."""

    actions: tuple[Action, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def plan_tenant(tenant: str, wanted: TenantObjects, snapshot: Snapshot, remembered: Mapping[Ref, Applied]) -> Plan:
    """The actions that bring the tenant to the wanted state.

    Args:
        tenant: name of the record.
        wanted: the wanted objects. If not all functions could be built, the existing ones stay.
        snapshot: the objects on the cluster.
        remembered: versions after earlier applies; may be empty.

    Raises:
        ValueError: the namespace is not among the wanted objects: a builder is broken, and nothing may be concluded.
    """
    manifests = wanted.manifests
    if not manifests or ref_of(manifests[0]).kind != NAMESPACE:
        raise ValueError(f"{tenant}: the manifests do not contain its namespace")
    refusal = refusal_of_namespace(tenant, ref_of(manifests[0]), snapshot.namespace)
    if refusal:
        return Plan(refusals=(refusal,))
    actions: list[Action] = []
    refusals = []
    for manifest in manifests:
        step = _step(tenant, manifest, snapshot, remembered)
        if isinstance(step, Refusal):
            refusals.append(step)
        else:
            actions += step
    ended = [
        Delete(ref_of(pod), pod["metadata"]["uid"], STOP_SECONDS)
        for pod in (pods_to_end(snapshot.pods or ()) if wanted.suspended else ())
    ]
    rerouted = _rerouted(tenant, wanted, snapshot)
    return Plan((*actions, *rerouted, *_superseded(tenant, wanted, snapshot), *ended), tuple(refusals))


def plan_removal(tenant: str, namespace: Ref, live: Manifest | None) -> Plan:
    """The removal of a tenant whose offboarding is confirmed and whose grace period is over; empty once it is gone."""
    if live is None:
        return Plan()
    refusal = refusal_of_namespace(tenant, namespace, live)
    if refusal:
        return Plan(refusals=(refusal,))
    return Plan((Delete(namespace, live["metadata"]["uid"]),))


def refusal_of_namespace(tenant: str, namespace: Ref, live: Manifest | None) -> Refusal | None:
    """Why nothing may be done in this namespace now, or None."""
    if live is None:
        return None
    if not is_ours(live, tenant):
        return Refusal(
            namespace,
            "NotOwned",
            f"the namespace {namespace.name} exists and was not created by this controller, which does not change it. "
            "Delete it after moving its content; the controller then creates the tenant's own",
        )
    if live["metadata"].get("deletionTimestamp"):
        return Refusal(
            namespace,
            "Terminating",
            f"the namespace {namespace.name} is being deleted; nothing is created until it is gone",
        )
    return None


def content_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the fields that the API server maintains; equal if nobody changed it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _BOOKKEEPING}
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}


def digest_of(manifest: Manifest) -> str:
    """A digest of the manifest; equal for equal manifests."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _step(
    tenant: str, manifest: Manifest, snapshot: Snapshot, remembered: Mapping[Ref, Applied]
) -> list[Action] | Refusal:
    ref = ref_of(manifest)
    if ref.kind in snapshot.missing_kinds:
        return Refusal(
            ref,
            "CRDNotInstalled",
            f"the cluster has no kind {ref.kind.kind} ({ref.kind.api_version}): run osfaas platform check",
        )
    live = snapshot.namespace if ref.kind == NAMESPACE else snapshot.objects.get(ref)
    if live is None:
        return [Apply(manifest)]
    if is_ours(live, tenant):
        return _repair(ref, manifest, live, remembered.get(ref))
    if (ref.kind.kind, ref.name) == MADE_BY_KUBERNETES:
        return [Apply(manifest, live["metadata"]["uid"])]
    return Refusal(ref, "NotOwned", f"{ref} exists and was not created by this controller: remove or rename it")


def _repair(ref: Ref, manifest: Manifest, live: Manifest, remembered: Applied | None) -> list[Action] | Refusal:
    metadata = live["metadata"]
    if metadata.get("deletionTimestamp"):
        return Refusal(ref, "Terminating", f"{ref} is being deleted; it is created again afterwards")
    if remembered == Applied(metadata["uid"], metadata["resourceVersion"], digest_of(manifest)):
        return []
    foreign = foreign_fields(live, manifest)
    removal = [RemoveFields(ref, metadata["resourceVersion"], foreign)] if foreign else []
    return [*removal, Apply(manifest, metadata["uid"], force=True)]


def _rerouted(tenant: str, wanted: TenantObjects, snapshot: Snapshot) -> Iterator[Reroute]:
    for live in snapshot.services:
        metadata = live["metadata"]
        shares = wanted.traffic.get(metadata["name"])
        if shares is None or metadata.get("deletionTimestamp") or not is_ours(live, tenant):
            continue
        if shares_in(shares) != shares_in(live["spec"].get("traffic", ())):
            yield Reroute(ref_of(live), metadata["uid"], tuple(shares))


def _superseded(tenant: str, wanted: TenantObjects, snapshot: Snapshot) -> tuple[Delete, ...]:
    built = {ref_of(manifest) for manifest in wanted.manifests}
    return tuple(
        Delete(ref, live["metadata"]["uid"])
        for ref, live in snapshot.objects.items()
        if ref not in built
        and ref.kind in (*OWNED_KINDS, *BUILD_KINDS)
        and not _stays(ref, live, wanted)
        and is_ours(live, tenant)
        and not live["metadata"].get("deletionTimestamp")
    )


def _stays(ref: Ref, live: Manifest, wanted: TenantObjects) -> bool:
    """Whether a Knative Service stays though it was not built, because it could not be, or a Job because it ran."""
    if ref.kind in BUILD_KINDS:
        return (wanted.kept is None and not wanted.suspended) or (ref.kind == JOB and ref.name in wanted.jobs)
    if ref.kind != KNATIVE_SERVICE:
        return False
    if OWN_FUNCTION in live["metadata"].get("labels", {}):
        return wanted.kept is None or ref.name in wanted.kept
    return bool(wanted.problems)
