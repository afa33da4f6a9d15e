"""From what is wanted and what is there to what is to be done. Pure, so that a table of examples can test it.

The rules: what does not exist is made; what is ours is brought back to what is wanted; what is not ours is left alone
and named; what is ours and no longer wanted goes away. Ours is what `tenancy.controller.ownership` says.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.model import Manifest
from policies.tenant import TenantObjects
from tenancy.controller.ownership import added_by_strangers, is_ours
from tenancy.controller.snapshot import Observed
from tenancy.kubernetes.client import Ref, ref_of
from tenancy.kubernetes.kinds import KNATIVE_SERVICE, NAMESPACE, OWNED_KINDS
from tenancy.kubernetes.pods import STOP_SECONDS, pods_to_end

# Kubernetes puts it into each namespace; in one of ours it is adopted, unless somebody else has set our fields of it.
MADE_BY_KUBERNETES = ("ServiceAccount", "default")

_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "generation"})


@dataclass(frozen=True, slots=True)
class Apply:
    """Make an object, or bring it back.

    Attributes:
        uid: of the object that was seen; "" if there was none.
        force: take our fields back from other managers, which is right only for an object of ours.
    """

    manifest: Manifest
    uid: str = ""
    force: bool = False

    @property
    def ref(self) -> Ref:
        return ref_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Strip:
    """Take fields out of an object of ours that strangers added, if it is still the version that was seen."""

    ref: Ref
    resource_version: str
    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object, if it is still the one that was seen.

    Attributes:
        grace_seconds: how long a pod's containers have to end; None: as long as the pod itself says.
    """

    ref: Ref
    uid: str
    grace_seconds: int | None = None


Action = Apply | Strip | Delete


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is wanted and is not done; `reason` is one CamelCase word, `message` says what to do."""

    ref: Ref
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as it was after we applied a manifest to it; as long as it is that, there is nothing to do."""

    uid: str
    resource_version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions, in their order, and what is refused."""

    actions: tuple[Action, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def plan_tenant(tenant: str, wanted: TenantObjects, observed: Observed, remembered: Mapping[Ref, Applied]) -> Plan:
    """What makes the tenant as wanted.

    Args:
        tenant: name of the record.
        wanted: what it shall be. If not all of its functions could be built, those that are there stay.
        observed: what is there.
        remembered: what is known from earlier rounds; may be empty.

    Raises:
        ValueError: the namespace is not among what is wanted: a builder is broken, and nothing follows from that.
    """
    manifests = wanted.manifests
    if not manifests or ref_of(manifests[0]).kind != NAMESPACE:
        raise ValueError(f"{tenant}: nothing is done without its namespace among the manifests")
    refusal = refusal_of_namespace(tenant, ref_of(manifests[0]), observed.namespace)
    if refusal:
        return Plan(refusals=(refusal,))
    actions: list[Action] = []
    refusals = []
    for manifest in manifests:
        step = _step(tenant, manifest, observed, remembered)
        if isinstance(step, Refusal):
            refusals.append(step)
        else:
            actions += step
    ended = [
        Delete(ref_of(pod), pod["metadata"]["uid"], STOP_SECONDS)
        for pod in (pods_to_end(observed.pods or ()) if wanted.suspended else ())
    ]
    return Plan((*actions, *_superseded(tenant, wanted, observed), *ended), tuple(refusals))


def plan_removal(tenant: str, namespace: Ref, observed: Manifest | None) -> Plan:
    """What removes a tenant whose offboarding is confirmed and whose grace period is over; empty once it is gone."""
    if observed is None:
        return Plan()
    refusal = refusal_of_namespace(tenant, namespace, observed)
    if refusal:
        return Plan(refusals=(refusal,))
    return Plan((Delete(namespace, observed["metadata"]["uid"]),))


def refusal_of_namespace(tenant: str, namespace: Ref, live: Manifest | None) -> Refusal | None:
    """Why nothing may be done in this namespace now, or None."""
    if live is None:
        return None
    if not is_ours(live, tenant):
        return Refusal(
            namespace,
            "NotOurs",
            f"the namespace {namespace.name} exists and was not made by this controller: "
            "nothing in it is touched. Remove or rename what uses it, then the tenant is built by itself",
        )
    if live["metadata"].get("deletionTimestamp"):
        return Refusal(
            namespace,
            "Terminating",
            f"the namespace {namespace.name} is being deleted; nothing is made until it is gone",
        )
    return None


def content_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the API server and other controllers keep in it: alike if nobody changed it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _BOOKKEEPING}
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}


def digest_of(manifest: Manifest) -> str:
    """Two manifests with the same digest are the same."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _step(
    tenant: str, manifest: Manifest, observed: Observed, remembered: Mapping[Ref, Applied]
) -> list[Action] | Refusal:
    ref = ref_of(manifest)
    if ref.kind in observed.missing_kinds:
        return Refusal(
            ref, "KindMissing", f"the cluster has no {ref.kind.kind} ({ref.kind.api_version}): osfaas platform check"
        )
    live = observed.namespace if ref.kind == NAMESPACE else observed.objects.get(ref)
    if live is None:
        return [Apply(manifest)]
    if is_ours(live, tenant):
        return _repair(ref, manifest, live, remembered.get(ref))
    if (ref.kind.kind, ref.name) == MADE_BY_KUBERNETES:
        return [Apply(manifest, live["metadata"]["uid"])]
    return Refusal(ref, "NotOurs", f"{ref} exists and was not made by this controller: remove or rename it")


def _repair(ref: Ref, manifest: Manifest, live: Manifest, remembered: Applied | None) -> list[Action] | Refusal:
    metadata = live["metadata"]
    if metadata.get("deletionTimestamp"):
        return Refusal(ref, "Terminating", f"{ref} is being deleted; it is made anew then")
    if remembered == Applied(metadata["uid"], metadata["resourceVersion"], digest_of(manifest)):
        return []
    added = added_by_strangers(live, manifest)
    strip = [Strip(ref, metadata["resourceVersion"], added)] if added else []
    return [*strip, Apply(manifest, metadata["uid"], force=True)]


def _superseded(tenant: str, wanted: TenantObjects, observed: Observed) -> tuple[Delete, ...]:
    kept = {ref_of(manifest) for manifest in wanted.manifests}
    kinds = OWNED_KINDS if not wanted.problems else [kind for kind in OWNED_KINDS if kind != KNATIVE_SERVICE]
    return tuple(
        Delete(ref, live["metadata"]["uid"])
        for ref, live in observed.objects.items()
        if ref not in kept
        and ref.kind in kinds
        and is_ours(live, tenant)
        and not live["metadata"].get("deletionTimestamp")
    )
