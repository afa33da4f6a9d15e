"""Pods that somebody with the role `edit` would like to run. Pure; dry runs, as in `tenant_user`."""

from collections.abc import Iterator
from dataclasses import dataclass

from policies.model import IsolationLevel, Manifest
from tenancy.verify.attack import Attack, Request
from tenancy.verify.pods import restricted_pod
from tenancy.verify.targets import Scene

_NAME = "osfaas-verify"
_ADMISSION = "ValidatingAdmissionPolicy"
_RESTRICTED = ("violates PodSecurity", _ADMISSION)
_GREEDY_CONTAINERS = 20


@dataclass(frozen=True, slots=True)
class _Wish:
    """What differs from a pod that is admitted.

    Attributes:
        spec: fields of the pod's spec.
        security: fields of its container's securityContext.
        refused_with, kept: see `Request`.
    """

    name: str
    replays: str
    fails_from: IsolationLevel
    spec: Manifest
    security: Manifest
    refused_with: tuple[str, ...]
    kept: tuple[str, ...] = ()


_NOTHING = _Wish("", "", IsolationLevel.L1, {}, {}, ())


def tenant_pod_attacks(scene: Scene) -> Iterator[Attack]:
    """One attack for each wish; its twin is the same pod without the wish."""
    for wish in (*_node_wishes(), *_identity_wishes(scene), *_placement_wishes(scene)):
        yield Attack(wish.name, wish.replays, wish.fails_from, _pod(scene, wish), _pod(scene, _NOTHING))


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


def _placement_wishes(scene: Scene) -> Iterator[_Wish]:
    """Only for tenants whose level says where and how their pods run."""
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
    if scene.tenant.isolation >= IsolationLevel.L5:
        yield _Wish(
            "foreign-node",
            "a pod on another tenant's node shares its caches and cores",
            IsolationLevel.L5,
            {"nodeSelector": {scene.platform.node_pool_label: scene.victim.namespace}},
            {},
            (_ADMISSION,),
            ("spec", "nodeSelector"),
        )


def _pod(scene: Scene, wish: _Wish) -> Request:
    pod = restricted_pod(scene.tenant.namespace, _NAME, _image(scene), [])
    container = pod["spec"]["containers"][0]
    container["securityContext"] |= wish.security
    pod["spec"] |= wish.spec
    path = f"/api/v1/namespaces/{scene.tenant.namespace}/pods"
    return Request("POST", path, pod, wish.refused_with, wish.kept)


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
