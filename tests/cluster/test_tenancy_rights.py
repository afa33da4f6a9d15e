"""What the controller may do on a cluster, by the manifests that give it its rights: no more than it needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from policies.access import CONTROLLER_ROLE, build_controller_binding
from policies.labels import TENANT
from policies.model import Platform, TenantSpec
from policies.names import ProjectId
from tests.cluster.commands import CommandError, wait_until
from tests.cluster.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

SYSTEM = "osfaas-system"
CONTROLLER = f"system:serviceaccount:{SYSTEM}:osfaas-controller"
RIGHTS = [str(CHECKOUT / "manifests/controller" / name) for name in ("access.yaml", "scope.yaml")]
SPEC = TenantSpec(ProjectId("rightsa"))
OTHER = TenantSpec(ProjectId("rightsb"))
NOBODYS = "faas-rightsnobody"


class Controller:
    """Somebody who has taken over the controller, with `kubectl`."""

    def __init__(self, cluster: Testbed) -> None:
        self._kubectl = cluster.kubectl

    def may(self, *words: str) -> bool:
        """Whether RBAC allows it."""
        try:
            return self._kubectl("auth", "can-i", *words, f"--as={CONTROLLER}").strip() == "yes"
        except CommandError:
            # Its exit status when the answer is no.
            return False

    def create(self, manifest: dict[str, Any]) -> None:
        """A dry run; admission decides it all the same."""
        self._kubectl("create", "--dry-run=server", f"--as={CONTROLLER}", "-f", "-", stdin=json.dumps(manifest))


@pytest.fixture(scope="module")
def controller(cluster: Testbed) -> Iterator[Controller]:
    """Its rights, a namespace of a tenant with the binding, one without, and one that only has such a name."""
    kubectl = cluster.kubectl
    phase = kubectl("get", "namespace", SYSTEM, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
    installed = phase.strip() == "Active"
    names = [SPEC.namespace, OTHER.namespace, NOBODYS]
    # Of an earlier run; a namespace that is on its way out takes nothing.
    for name in [*([] if installed else [SYSTEM]), *names]:
        kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")
    try:
        for name in [*([] if installed else [SYSTEM]), *names]:
            labels = {TENANT: name} if name in names[:2] else {}
            kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        for file in RIGHTS:
            kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
        kubectl.apply(build_controller_binding(SPEC, Platform(functions={})))
        made = Controller(cluster)
        wait_until("its rights count", lambda: made.may("list", "pods", "-n", SPEC.namespace), seconds=20)
        wait_until("its bounds count", lambda: not _admitted(made, binding("kube-system")), seconds=20)
        yield made
    finally:
        if not installed:
            for file in RIGHTS:
                kubectl("delete", "--ignore-not-found", "-f", file)
            names.append(SYSTEM)
        kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *names)


def binding(namespace: str, role: str = CONTROLLER_ROLE, account: str = "osfaas-controller") -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "another", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}],
    }


def quota(namespace: str) -> dict[str, Any]:
    metadata = {"name": "another", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1"}}}


def _admitted(controller: Controller, manifest: dict[str, Any]) -> bool:
    try:
        controller.create(manifest)
    except CommandError:
        return False
    return True


@pytest.mark.parametrize("what", ["pods", "deployments.apps", "replicasets.apps", "events", "secrets", "configmaps"])
@pytest.mark.parametrize("where", ["-A", "kube-system", "default", SYSTEM, OTHER.namespace, NOBODYS])
def test_it_sees_nothing_that_shows_what_others_run(controller: Controller, what: str, where: str) -> None:
    """Neither in all namespaces nor in one where the tenant's own object does not allow it."""
    words = ("-A",) if where == "-A" else ("-n", where)
    assert not controller.may("list", what, *words)
    assert not controller.may("watch", what, *words)


def test_in_a_tenants_namespace_it_sees_and_ends_pods(controller: Controller) -> None:
    """And nothing more of them."""
    place = ("-n", SPEC.namespace)
    for verb, what in (("list", "pods"), ("delete", "pods"), ("list", "deployments.apps")):
        assert controller.may(verb, what, *place), (verb, what)
    for verb, what in (("create", "pods"), ("patch", "pods"), ("create", "pods/exec"), ("patch", "deployments.apps")):
        assert not controller.may(verb, what, *place), (verb, what)


def test_it_gives_its_one_right_to_itself_in_tenants_namespaces(controller: Controller) -> None:
    """What it does when it makes a tenant."""
    controller.create(binding(OTHER.namespace))
    controller.create(quota(OTHER.namespace))


@pytest.mark.parametrize("namespace", ["kube-system", "default", SYSTEM, NOBODYS])
def test_it_writes_nowhere_else(controller: Controller, namespace: str) -> None:
    """Also not where only the name looks like a tenant's."""
    for manifest in (binding(namespace), quota(namespace)):
        with pytest.raises(CommandError, match="osfaas-controller-scope"):
            controller.create(manifest)


@pytest.mark.parametrize(
    ("role", "account"),
    [("cluster-admin", "osfaas-controller"), ("osfaas-controller", "osfaas-controller"), (CONTROLLER_ROLE, "default")],
)
def test_it_gives_no_other_right_and_none_to_others(controller: Controller, role: str, account: str) -> None:
    """RBAC itself refuses what it does not have; admission refuses the rest."""
    with pytest.raises(CommandError, match=r"osfaas-controller-scope|attempting to grant"):
        controller.create(binding(OTHER.namespace, role, account))
