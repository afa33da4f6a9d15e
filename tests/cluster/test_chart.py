"""The Helm chart on the cluster, by the commands of its page: install, upgrade, roll back, uninstall."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from charts.generate import chart_files, write_chart
from policies.names import ProjectId, namespace_of
from tests.cluster.commands import run
from tests.cluster.guide import commands
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.node.facts import API_PORT, NODE_ADDRESS, OPENSTACK_ADDRESS
from tests.cluster.product import EDGE_HOST, SYSTEM, Product, product_on
from tests.cluster.progress import step
from tests.cluster.test_end_to_end import ask, assert_right, content, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

PAGE = "how-to/install-with-helm.md"
PARTS = ("gateway", "controller", "adminApi", "functionsApi", "scheduler")
DEFINITIONS = ("tenants", "functions", "functionsecrets", "functiontriggers")
# Nobody may ask for one checksum.
POLICY = '"checksums:get": "!"\n'
SETTING, BEFORE, AFTER = "OSFAAS_TRIGGER_ROLES", "member", "member,manager"

pytestmark = pytest.mark.timeout(1800)


def values_of(openstack: OpenStack, **settings: str) -> dict[str, Any]:
    """The site's; requests are small, because the node has two cores for everything."""
    ports = [openstack.keystone_port, openstack.swift_port]
    return {
        "publicUrl": f"https://{EDGE_HOST}",
        "image": {"repository": "dev.local/osfaas-gateway", "tag": "test"},
        "network": {
            "kubernetesApi": {"cidrs": [f"{NODE_ADDRESS}/32"], "ports": [API_PORT]},
            "openstack": {"cidrs": [f"{OPENSTACK_ADDRESS}/32"], "ports": ports},
        },
        "settings": settings,
        **{part: {"resources": {"requests": {"cpu": "20m"}}} for part in PARTS},
    }


def helm(product: Product, *words: str) -> None:
    environment = {
        "KUBECONFIG": str(product.cluster.running.layout.host_kubeconfig),
        "PATH": f"{LAYOUT.built_by('helm')}:{os.environ['PATH']}",
        **{f"HELM_{name}_HOME": str(product.folder / "helm") for name in ("CACHE", "CONFIG", "DATA")},
    }
    with step(f"helm {words[0]}"):
        run(["helm", *words], environment=environment, folder=product.folder)


def lines_of_page(product: Product, program: str, verb: str = "") -> Iterator[list[str]]:
    """The page's commands of a program, with the names that the site has; at least one."""
    (archive,) = product.folder.glob("osfaas-*.tgz")
    names = {"osfaas-VERSION.tgz": archive.name, "platform.yaml": str(product.folder / "platform.yaml")}
    found = [words for words in commands(PAGE, program, names) if verb in (*words, "")]
    assert found, f"{PAGE} has no {program} {verb}"
    yield from found


def by_chart(product: Product) -> None:
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    write_chart(chart_files(CHECKOUT, kubectl), product.folder)
    (product.folder / "values.yaml").write_text(
        json.dumps(values_of(product.openstack, **{SETTING: BEFORE})), encoding="utf-8"
    )
    for words in lines_of_page(product, "osfaas", "install"):
        with step("osfaas platform install"):
            product.osfaas(*words)
    for words in lines_of_page(product, "helm", "install"):
        helm(product, *words)


@pytest.fixture(scope="module")
def released(cluster: Testbed, openstack: OpenStack) -> Iterator[Product]:
    with product_on(cluster, openstack, install=by_chart) as installed:
        yield installed


@pytest.fixture(scope="module")
def tenant(released: Product) -> Iterator[str]:
    """Namespace of a project that has been onboarded, with an object."""
    store(released, "alice", "note", content("alice"))
    released.osfaas("tenant", "onboard", "alice-project", "--domain", "Default", "--wait")
    namespace = str(namespace_of(ProjectId(released.openstack.inside.users["alice"].project_id)))
    yield namespace
    released.remove_tenant(namespace)


def assert_serves(product: Product) -> None:
    """A real checksum, through ingress, gateway and function."""
    with product.caller("alice") as alice:
        assert_right(ask(alice, "note"), content("alice"))


def setting(product: Product) -> str:
    data = product.cluster.kubectl.get("configmap", "osfaas-gateway", "-n", SYSTEM)["data"]
    return str(data[SETTING])


def pods(product: Product) -> set[str]:
    """Identities of those that read the settings: the controller does not."""
    return {pod["metadata"]["uid"] for pod in product.pods(SYSTEM) if "controller" not in pod["metadata"]["name"]}


def test_installed_gateway_answers_a_checksum(released: Product, tenant: str) -> None:
    """All parts are ready, as `--wait` says, and the page's check has nothing against the installation."""
    found = {
        item["metadata"]["name"]: item for item in released.cluster.kubectl.get("deployments", "-n", SYSTEM)["items"]
    }
    assert len(found) == len(PARTS)
    for name, item in found.items():
        assert item["status"]["readyReplicas"] == item["spec"]["replicas"] == 2, name
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert_serves(released)
    for words in lines_of_page(released, "osfaas", "check"):
        released.osfaas(*words)


def test_upgrade_changes_settings_and_rules_and_starts_new_pods(released: Product, tenant: str) -> None:
    """And rolling back does so again."""
    before = pods(released)
    values = {**values_of(released.openstack, **{SETTING: AFTER}), "policy": POLICY}
    (released.folder / "values.yaml").write_text(json.dumps(values), encoding="utf-8")
    for program in ("tar", "kubectl"):
        own = released.cluster.kubectl.words if program == "kubectl" else (program,)
        for words in lines_of_page(released, program):
            run([*own, *words], folder=released.folder)
    for words in lines_of_page(released, "helm", "upgrade"):
        helm(released, *words)
    after = pods(released)
    assert setting(released) == AFTER
    assert after
    assert not before & after
    with released.caller("alice") as alice:
        answer = ask(alice, "note")
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "role.missing"
    assert "policy rule 'checksums:get'" in answer.text
    helm(released, "rollback", "osfaas", "--namespace", SYSTEM, "--wait", "--timeout", "10m")
    assert setting(released) == BEFORE
    assert not after & pods(released)
    assert_serves(released)


def test_uninstall_keeps_tenants_definitions_and_secrets(released: Product, tenant: str) -> None:
    for words in lines_of_page(released, "helm", "uninstall"):
        helm(released, *words)
    kubectl = released.cluster.kubectl
    assert yaml.safe_load(kubectl("get", "deployments", "-n", SYSTEM, "-o", "yaml"))["items"] == []
    assert kubectl.get("secret", "osfaas-gateway-keystone", "-n", SYSTEM)
    assert kubectl.get("tenant", tenant)
    assert kubectl.get("namespace", tenant)["status"]["phase"] == "Active"
    for name in DEFINITIONS:
        assert kubectl.get("crd", f"{name}.osfaas.dev")
