"""Creates the objects of a replay and always removes them: two or three pods and a role binding."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from policies.model import Manifest
from policies.names import NamespaceName
from tenancy.isolation.discovery import is_ready
from tenancy.isolation.pods import VERIFY_LABEL, build_pod, decoy_pod, probe_pod
from tenancy.isolation.runners import PodName
from tenancy.kubernetes.client import Cluster, Kind, Ref, ref_of
from tenancy.model.errors import ClusterError

_READY_SECONDS = 90
_MANAGER = "osfaas-verify"
_POD = Kind("v1", "Pod")
_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")


@dataclass(frozen=True, slots=True)
class Fixtures:
    """The objects of a replay, ready for use.

    Attributes:
        probe: a pod in the tenant's namespace.
        decoy: a pod in the victim's namespace.
        address, word: address of the decoy, and the word with which it answers.
        user: name of a user with the role `edit` in the tenant's namespace.
        build: a pod in the tenant's namespace with the labels of a build's; None: the platform builds nothing.
    """

    probe: PodName
    decoy: PodName
    address: str
    word: str
    user: str
    build: PodName | None = None


@contextlib.contextmanager
def create_fixtures(
    cluster: Cluster, tenant: NamespaceName, victim: NamespaceName, image: str, *, builds: bool
) -> Iterator[Fixtures]:
    """Creates the fixtures for the duration of the block; even an interrupted set-up is cleaned up.

    `builds`: whether the platform builds functions in tenants' namespaces.

    Raises:
        ClusterError: a pod is rejected or does not become ready; says why.
    """
    name, word = f"osfaas-verify-{secrets.token_hex(3)}", secrets.token_hex(8)
    probe, decoy = PodName(tenant, name), PodName(victim, f"{name}-decoy")
    build = PodName(tenant, f"{name}-build") if builds else None
    user = f"osfaas:verify:{tenant}"
    with contextlib.ExitStack() as cleaning:
        for namespace in (tenant, victim):
            _sweep(cluster, namespace)
        for manifest in (
            _edit_binding(tenant, name, user),
            probe_pod(tenant, probe.name, image),
            decoy_pod(victim, decoy.name, image, word),
            *((build_pod(tenant, build.name, image),) if build else ()),
        ):
            # Registered before the object is created: an interrupt may come in between.
            cleaning.callback(_remove, cluster, ref_of(manifest))
            cluster.create(manifest, manager=_MANAGER)
        for pod in (probe, *((build,) if build else ())):
            _await_ready(cluster, pod)
        yield Fixtures(probe, decoy, _await_ready(cluster, decoy), word, user, build)


def _sweep(cluster: Cluster, namespace: str) -> None:
    """Removes the objects of an earlier replay that was killed."""
    selector = ",".join(f"{key}={value}" for key, value in VERIFY_LABEL.items())
    for kind in (_POD, _BINDING):
        for item in cluster.list(kind, namespace=namespace, labels=selector).items:
            cluster.delete(ref_of(item), uid=item["metadata"]["uid"])


def _edit_binding(namespace: str, name: str, user: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": _BINDING.api_version,
        "kind": _BINDING.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": VERIFY_LABEL},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def _await_ready(cluster: Cluster, pod: PodName) -> str:
    """The pod's address, once it is ready."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        found = cluster.get(Ref(_POD, pod.namespace, pod.name)) or {"status": {"phase": "gone"}}
        status = found["status"]
        if is_ready(found):
            return str(status["podIP"])
        if time.monotonic() > deadline or status.get("phase") in {"Failed", "Succeeded", "gone"}:
            conditions = (f"{each['type']}: {each.get('message')}" for each in status.get("conditions", ()))
            raise ClusterError(f"pod {pod.name} in {pod.namespace} is not ready: {'; '.join(conditions)}")
        time.sleep(0.25)


def _remove(cluster: Cluster, ref: Ref) -> None:
    found = cluster.get(ref)
    if found:
        cluster.delete(ref, uid=found["metadata"]["uid"])
