"""Attacks by pods that a user with the role `edit` creates. Pure; dry runs, as in `tenant_user_attacks`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from policies.model import IsolationLevel, Manifest
from policies.sandbox import sandbox_of
from tenancy.isolation.attack import Attack, Request
from tenancy.isolation.pods import restricted_pod
from tenancy.isolation.targets import Context

_NAME = "osfaas-verify"
_ADMISSION = "ValidatingAdmissionPolicy"
_RESTRICTED = ("violates PodSecurity", _ADMISSION)
_CONTAINERS_OVER_QUOTA = 20
_SYSTEM: Manifest = {"priorityClassName": "system-node-critical"}


@dataclass(frozen=True, slots=True)
class _PodVariant:
    """The differences to a pod that is admitted.

    Attributes:
        spec: fields of the pod's spec.
        security: fields of its container's securityContext.
        refused_with, unchanged_field: see `Request`.
        harmless: fields of the spec of its positive control: the same kind of request in an allowed form.
    """

    name: str
    summary: str
    fails_from: IsolationLevel
    spec: Manifest
    security: Manifest
    refused_with: tuple[str, ...]
    unchanged_field: tuple[str, ...] = ()
    harmless: Manifest = field(default_factory=dict)


def tenant_pod_attacks(context: Context) -> Iterator[Attack]:
    """One attack per variant; its control is the same pod unchanged, or with a harmless difference."""
    for variant in (
        *_node_variants(),
        *_user_namespace_variants(context),
        *_identity_variants(context),
        *_sandbox_variants(context),
        *_placement_variants(context),
    ):
        attempt = _pod(
            context,
            variant.spec,
            variant.security,
            refused_with=variant.refused_with,
            unchanged_field=variant.unchanged_field,
        )
        yield Attack(variant.name, variant.summary, variant.fails_from, attempt, _pod(context, variant.harmless, {}))


def _node_variants() -> Iterator[_PodVariant]:
    level = IsolationLevel.L1
    disk: Manifest = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    yield _PodVariant("host-path", "a hostPath volume exposes the node's disk", level, disk, {}, _RESTRICTED)
    # Without the two others the API server rejects the pod as contradictory, which proves nothing.
    privileged = {"privileged": True, "allowPrivilegeEscalation": True, "runAsNonRoot": False}
    yield _PodVariant("privileged-pod", "a privileged container controls the node", level, {}, privileged, _RESTRICTED)
    # A setuid program of the image gets what its owner may only if the container allows it.
    setuid = {"allowPrivilegeEscalation": True}
    yield _PodVariant("setuid-pod", "a setuid program of an own image gains privileges", level, {}, setuid, _RESTRICTED)
    # The API server itself rejects it together with a user namespace, which levels from L3 on set.
    network: Manifest = {"hostNetwork": True}
    yield _PodVariant(
        "host-network",
        "NetworkPolicies do not apply to pods on the host network",
        level,
        network,
        {},
        (*_RESTRICTED, "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
    )


def _user_namespace_variants(context: Context) -> Iterator[_PodVariant]:
    """Not where all pods are in a sandbox that has no user namespaces: `no-sandbox` is the attack on that one."""
    platform = context.platform
    sandboxed = sandbox_of(context.tenant.isolation, platform, tenant_code=False) is not None
    if not sandboxed or platform.sandbox_user_namespaces:
        yield _PodVariant(
            "host-users",
            "root in a pod without a user namespace is root on the node after an escape",
            IsolationLevel.L3,
            {"hostUsers": True},
            {},
            (_ADMISSION,),
            ("spec", "hostUsers"),
        )


def _identity_variants(context: Context) -> Iterator[_PodVariant]:
    level = IsolationLevel.L1
    yield _PodVariant(
        "pod-asks-for-token",
        "a pod with a service account token can use the Kubernetes API as that account",
        level,
        {"automountServiceAccountToken": True},
        {},
        (_ADMISSION,),
    )
    yield _PodVariant(
        "quota-exhaustion",
        "one tenant uses up the CPU of the cluster",
        level,
        _over_quota(context),
        {},
        ("exceeded quota",),
    )
    yield _PodVariant(
        "disk-exhaustion",
        "one tenant fills the disk of a node",
        level,
        _large_disk(context),
        {},
        ("maximum ephemeral-storage usage", "exceeded quota"),
    )


def _sandbox_variants(context: Context) -> Iterator[_PodVariant]:
    """Variants for tenants whose level prescribes a sandbox."""
    if context.tenant.isolation >= IsolationLevel.L4:
        yield _PodVariant(
            "no-sandbox",
            "a pod without a sandbox shares the node's kernel",
            IsolationLevel.L4,
            {},
            {},
            (_ADMISSION,),
            ("spec", "runtimeClassName"),
        )


def _placement_variants(context: Context) -> Iterator[_PodVariant]:
    """Variants that aim at the nodes of another tenant, at every level: the promise was made to the victim."""
    level, label, victim = IsolationLevel.L1, context.platform.node_pool_label, context.victim.namespace
    everything: Manifest = {"tolerations": [{"operator": "Exists"}]}
    its_taint: Manifest = {"tolerations": [{"key": label, "operator": "Exists"}]}
    expression = {"key": label, "operator": "In", "values": [victim]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    # A toleration that Kubernetes gives to every pod, and a selector that is independent of tenants' nodes.
    usual = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    harmless = {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{**usual, "tolerationSeconds": 30}]}
    beside = "a pod on another tenant's node shares its caches and cores"
    for name, how, spec, unchanged_field in (
        ("foreign-node", beside, {"nodeSelector": {label: victim}, **everything}, ("spec", "nodeSelector")),
        ("foreign-node-affinity", beside, {"affinity": affinity, **its_taint}, ("spec", "affinity")),
        ("foreign-node-name", f"{beside}; nodeName bypasses the node's taint", {"nodeName": "any"}, ()),
        ("system-priority", "a pod with a system priority evicts other pods", _SYSTEM, ()),
    ):
        yield _PodVariant(name, how, level, spec, {}, (_ADMISSION,), unchanged_field, harmless)


def _pod(
    context: Context,
    spec: Manifest,
    security: Manifest,
    *,
    refused_with: tuple[str, ...] = (),
    unchanged_field: tuple[str, ...] = (),
) -> Request:
    pod = restricted_pod(context.tenant.namespace, _NAME, _image(context), [])
    container = pod["spec"]["containers"][0]
    container["securityContext"] |= security
    pod["spec"] |= spec
    path = f"/api/v1/namespaces/{context.tenant.namespace}/pods"
    return Request("POST", path, pod, refused_with, unchanged_field)


def _image(context: Context) -> str:
    """Any image of the platform; no container is ever started from it."""
    return next(iter(context.platform.functions.values())).image


def _over_quota(context: Context) -> Manifest:
    """Containers that are each within the LimitRange and together exceed the quota, with or without sidecars."""
    container = restricted_pod(context.tenant.namespace, _NAME, _image(context), [])["spec"]["containers"][0]
    amount = {"cpu": f"{context.tenant.limits.cpu_millis}m", "memory": "32Mi"}
    resources = {"requests": amount, "limits": amount}
    names = (f"probe-{number}" for number in range(_CONTAINERS_OVER_QUOTA))
    return {"containers": [{**container, "resources": resources, "name": name} for name in names]}


def _large_disk(context: Context) -> Manifest:
    """A container that may write more than any node has."""
    container = restricted_pod(context.tenant.namespace, _NAME, _image(context), [])["spec"]["containers"][0]
    amount = {**container["resources"]["limits"], "ephemeral-storage": "100Ti"}
    return {"containers": [{**container, "resources": {"requests": amount, "limits": amount}}]}
