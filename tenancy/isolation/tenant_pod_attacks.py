"""Pods that somebody with the role `edit` would like to run. Pure; dry runs, as in `tenant_user`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from policies.model import IsolationLevel, Manifest
from tenancy.isolation.attack import Attack, Request
from tenancy.isolation.pods import restricted_pod
from tenancy.isolation.targets import Scene

_NAME = "osfaas-verify"
_ADMISSION = "ValidatingAdmissionPolicy"
_RESTRICTED = ("violates PodSecurity", _ADMISSION)
_GREEDY_CONTAINERS = 20
_SYSTEM: Manifest = {"priorityClassName": "system-node-critical"}


@dataclass(frozen=True, slots=True)
class _Wish:
    """What differs from a pod that is admitted.

    Attributes:
        spec: fields of the pod's spec.
        security: fields of its container's securityContext.
        refused_with, kept: see `Request`.
        harmless: fields of the spec of its twin, which asks for the same kind of thing in an allowed way.
    """

    name: str
    replays: str
    fails_from: IsolationLevel
    spec: Manifest
    security: Manifest
    refused_with: tuple[str, ...]
    kept: tuple[str, ...] = ()
    harmless: Manifest = field(default_factory=dict)


def tenant_pod_attacks(scene: Scene) -> Iterator[Attack]:
    """One attack for each wish; its twin is the same pod without the wish, or with a harmless one."""
    for wish in (*_node_wishes(), *_identity_wishes(scene), *_sandbox_wishes(scene), *_placement_wishes(scene)):
        attempt = _pod(scene, wish.spec, wish.security, refused_with=wish.refused_with, kept=wish.kept)
        yield Attack(wish.name, wish.replays, wish.fails_from, attempt, _pod(scene, wish.harmless, {}))


def _node_wishes() -> Iterator[_Wish]:
    level = IsolationLevel.L1
    disk: Manifest = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    yield _Wish("host-path", "a hostPath volume is the node's disk", level, disk, {}, _RESTRICTED)
    # Without the two others the API server refuses the pod as contradictory, which proves nothing.
    privileged = {"privileged": True, "allowPrivilegeEscalation": True, "runAsNonRoot": False}
    yield _Wish("privileged-pod", "a privileged container is the node", level, {}, privileged, _RESTRICTED)
    # The API server itself refuses it together with a user namespace, which levels from L3 on set.
    network: Manifest = {"hostNetwork": True}
    yield _Wish(
        "host-network",
        "on the node's network no policy counts",
        level,
        network,
        {},
        (*_RESTRICTED, "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
    )
    yield _Wish(
        "host-users",
        "root in a pod without a user namespace is root on the node, once it is out",
        IsolationLevel.L3,
        {"hostUsers": True},
        {},
        (_ADMISSION,),
        ("spec", "hostUsers"),
    )


def _identity_wishes(scene: Scene) -> Iterator[_Wish]:
    level = IsolationLevel.L1
    yield _Wish(
        "pod-asks-for-token",
        "a pod with a service-account token speaks to the Kubernetes API as that account",
        level,
        {"automountServiceAccountToken": True},
        {},
        (_ADMISSION,),
    )
    yield _Wish("quota-exhaustion", "one tenant takes the CPU of all", level, _greed(scene), {}, ("exceeded quota",))


def _sandbox_wishes(scene: Scene) -> Iterator[_Wish]:
    """Only for tenants whose level says how their pods run."""
    if scene.tenant.isolation >= IsolationLevel.L4:
        yield _Wish(
            "no-sandbox",
            "a pod that asks for no sandbox shares the node's kernel",
            IsolationLevel.L4,
            {},
            {},
            (_ADMISSION,),
            ("spec", "runtimeClassName"),
        )


def _placement_wishes(scene: Scene) -> Iterator[_Wish]:
    """Ways onto the nodes of another tenant, from every level: it is the victim who was promised nodes of its own."""
    level, label, victim = IsolationLevel.L1, scene.platform.node_pool_label, scene.victim.namespace
    everything: Manifest = {"tolerations": [{"operator": "Exists"}]}
    its_taint: Manifest = {"tolerations": [{"key": label, "operator": "Exists"}]}
    expression = {"key": label, "operator": "In", "values": [victim]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    # What Kubernetes itself gives to every pod, and a selector that says nothing about whose nodes they are.
    usual = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    harmless = {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{**usual, "tolerationSeconds": 30}]}
    beside = "a pod on another tenant's node shares its caches and cores"
    for name, how, spec, kept in (
        ("foreign-node", beside, {"nodeSelector": {label: victim}, **everything}, ("spec", "nodeSelector")),
        ("foreign-node-affinity", beside, {"affinity": affinity, **its_taint}, ("spec", "affinity")),
        ("foreign-node-name", f"{beside}; a node that is named is reached past its taint", {"nodeName": "any"}, ()),
        ("system-priority", "a pod of the system's priority pushes others off their nodes", _SYSTEM, ()),
    ):
        yield _Wish(name, how, level, spec, {}, (_ADMISSION,), kept, harmless)


def _pod(
    scene: Scene, spec: Manifest, security: Manifest, *, refused_with: tuple[str, ...] = (), kept: tuple[str, ...] = ()
) -> Request:
    pod = restricted_pod(scene.tenant.namespace, _NAME, _image(scene), [])
    container = pod["spec"]["containers"][0]
    container["securityContext"] |= security
    pod["spec"] |= spec
    path = f"/api/v1/namespaces/{scene.tenant.namespace}/pods"
    return Request("POST", path, pod, refused_with, kept)


def _image(scene: Scene) -> str:
    """Any that the platform knows; nothing is ever started from it."""
    return next(iter(scene.platform.functions.values())).image


def _greed(scene: Scene) -> Manifest:
    """Containers that are each within the LimitRange and together beyond the quota, whatever is added for sidecars."""
    container = restricted_pod(scene.tenant.namespace, _NAME, _image(scene), [])["spec"]["containers"][0]
    amount = {"cpu": f"{scene.tenant.limits.cpu_millis}m", "memory": "32Mi"}
    resources = {"requests": amount, "limits": amount}
    names = (f"probe-{number}" for number in range(_GREEDY_CONTAINERS))
    return {"containers": [{**container, "resources": resources, "name": name} for name in names]}
