"""The Helm chart on the cluster, by the commands of its page: install, upgrade, uninstall."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from charts.generate import chart_files, write_chart
from tests.cluster.commands import run
from tests.cluster.guide import commands
from tests.cluster.layout import CHECKOUT, LAYOUT
from tests.cluster.node.facts import API_PORT, NODE_ADDRESS, OPENSTACK_ADDRESS
from tests.cluster.product import EDGE_HOST, SYSTEM, Product, product_on
from tests.cluster.progress import step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

PAGE = "how-to/install-with-helm.md"
PARTS = ("gateway", "controller", "adminApi", "functionsApi", "scheduler")
DEFINITIONS = ("tenants", "functions", "functionsecrets", "functiontriggers")


def values_of(openstack: OpenStack) -> dict[str, Any]:
    """The site's; requests are small, because the node has two cores for everything."""
    ports = [openstack.keystone_port, openstack.swift_port]
    return {
        "publicUrl": f"https://{EDGE_HOST}",
        "image": {"repository": "dev.local/osfaas-gateway", "tag": "test"},
        "network": {
            "kubernetesApi": {"cidrs": [f"{NODE_ADDRESS}/32"], "ports": [API_PORT]},
            "openstack": {"cidrs": [f"{OPENSTACK_ADDRESS}/32"], "ports": ports},
        },
        **{part: {"resources": {"requests": {"cpu": "20m"}}} for part in PARTS},
    }


def helm(product: Product, *verbs: str) -> None:
    """The page's commands of helm with one of these verbs."""
    (archive,) = product.folder.glob("osfaas-*.tgz")
    names = {"osfaas-VERSION.tgz": archive.name}
    found = [words for words in commands(PAGE, "helm", names) if words[0] in verbs]
    assert found
    environment = {
        "KUBECONFIG": str(product.cluster.running.layout.host_kubeconfig),
        "PATH": f"{LAYOUT.built_by('helm')}:{os.environ['PATH']}",
        **{f"HELM_{name}_HOME": str(product.folder / "helm") for name in ("CACHE", "CONFIG", "DATA")},
    }
    for words in found:
        with step(f"helm {words[0]}"):
            run(["helm", *words], environment=environment, folder=product.folder)


def by_chart(product: Product) -> None:
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    write_chart(chart_files(CHECKOUT, kubectl), product.folder)
    (product.folder / "values.yaml").write_text(json.dumps(values_of(product.openstack)), encoding="utf-8")
    with step("osfaas platform install"):
        product.osfaas("platform", "install", "--platform", str(product.folder / "platform.yaml"))
    helm(product, "install")


@pytest.fixture(scope="module")
def released(cluster: Testbed, openstack: OpenStack) -> Iterator[Product]:
    with product_on(cluster, openstack, install=by_chart) as installed:
        yield installed


def test_a_tenants_function_responds_through_the_released_gateway(released: Product) -> None:
    """Gateway and controller are ready, as `--wait` says; the whole way of a call works."""
    found = {
        item["metadata"]["name"]: item for item in released.cluster.kubectl.get("deployments", "-n", SYSTEM)["items"]
    }
    assert len(found) == len(PARTS)
    for name, item in found.items():
        assert item["status"]["readyReplicas"] == item["spec"]["replicas"] == 2, name
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    with released.caller("osfaas") as client:
        assert client.get("/v1").status_code == 200
    released.osfaas("platform", "verify", "--platform", str(released.folder / "platform.yaml"))


def test_upgrade_changes_settings_and_starts_new_pods(released: Product) -> None:
    before = {pod["metadata"]["uid"] for pod in released.pods(SYSTEM)}
    values = {**values_of(released.openstack), "settings": {"OSFAAS_TRIGGER_ROLES": "member,manager"}}
    (released.folder / "values.yaml").write_text(json.dumps(values), encoding="utf-8")
    for words in commands(PAGE, "kubectl"):
        run([*released.cluster.kubectl.words, *words], folder=released.folder)
    helm(released, "upgrade")
    settings = released.cluster.kubectl.get("configmap", "osfaas-gateway", "-n", SYSTEM)["data"]
    assert settings["OSFAAS_TRIGGER_ROLES"] == "member,manager"
    ready = [pod for pod in released.pods(SYSTEM) if "controller" not in pod["metadata"]["name"]]
    assert ready
    assert not before & {pod["metadata"]["uid"] for pod in ready}


def test_uninstall_keeps_tenants_definitions_and_secrets(released: Product) -> None:
    helm(released, "uninstall")
    kubectl = released.cluster.kubectl
    assert yaml.safe_load(kubectl("get", "deployments", "-n", SYSTEM, "-o", "yaml"))["items"] == []
    assert kubectl.get("secret", "osfaas-gateway-keystone", "-n", SYSTEM)
    for name in DEFINITIONS:
        assert kubectl.get("crd", f"{name}.osfaas.dev")
