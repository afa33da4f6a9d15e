"""`osfaas tenant verify` as an administrator runs it: its verdict, its exit status, and that nothing of it stays.

Once as `openstack function tenant verify`, without a credential: ids of projects need no Keystone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenancy.model.record import TenantRecord, manifest_of
from tests.cluster.commands import wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.product import know_tenants
from tests.isolation.arena import IMAGE, KEYSTONE_PORT, PLATFORM, STORE_PORT, TENANT, VICTIM, network_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.isolation.arena import Arena

_OPENSTACK = str(Path(sys.executable).with_name("openstack"))
_LEFT = ("-l", "app.kubernetes.io/managed-by=osfaas-verify", "-o", "name")


@pytest.fixture(scope="module")
def options(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What both commands are told: the tenant against the victim; both have a record."""
    file: Path = tmp_path_factory.mktemp("platform") / "platform.yaml"
    platform = {
        "functions": {"checksums": {"image": IMAGE}},
        "destinations": [{"cidr": f"{OPENSTACK_ADDRESS}/32", "ports": [STORE_PORT]}],
        "sandbox_runtime_class": PLATFORM.sandbox_runtime_class,
        "builds": dataclasses.asdict(PLATFORM)["builds"],
    }
    # JSON, which YAML contains, has no tuples.
    file.write_text(json.dumps(platform))
    know_tenants(arena.cluster)
    records = [manifest_of(TenantRecord(spec)) for spec in (TENANT, VICTIM)]
    kubeconfig = str(arena.cluster.running.layout.host_kubeconfig)
    with contextlib.ExitStack() as ending:
        for record in records:
            arena.cluster.kubectl.apply(record)
            ending.callback(arena.cluster.kubectl, "delete", "tenant.osfaas.dev", record["metadata"]["name"])
        keystone = f"http://{OPENSTACK_ADDRESS}:{KEYSTONE_PORT}"
        where = ["--platform", str(file), "--kubeconfig", kubeconfig]
        yield [*where, "--against", VICTIM.project_id, "--keystone", keystone, TENANT.project_id]


@pytest.fixture(scope="module")
def command(options: list[str]) -> list[str]:
    """The command line of `osfaas`, whose group has the options that say where."""
    return [sys.executable, "-m", "client.cli", "tenant", *options[:4], "verify", *options[4:]]


def test_nothing_stays_when_it_is_interrupted(arena: Arena, command: list[str]) -> None:
    """Ctrl-C while its pods stand: the pods and the role binding are gone."""
    # Whoever runs these tests in the background has told their children to ignore it.
    interruptible = ["env", "--default-signal=INT", *command]
    process = subprocess.Popen(interruptible, cwd=CHECKOUT, env=_environment(), stderr=subprocess.DEVNULL)
    wait_until("the pods of the replay", lambda: "pod/" in _left(arena, VICTIM.namespace), seconds=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) != 0
    for namespace in (TENANT.namespace, VICTIM.namespace):
        _await_nothing_left(arena, namespace)


def test_a_defence_that_is_missing_is_told_by_name_and_by_the_exit_status(arena: Arena, options: list[str]) -> None:
    """One policy too many opens the way out; what protects the victim, and Pod Security, still hold."""
    careless = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "careless", "namespace": TENANT.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    arena.cluster.kubectl.apply(careless)
    try:
        status, told = _run([_OPENSTACK, "function", "tenant", "verify", *options, "-f", "json"])
    finally:
        ref = network_policy(TENANT.namespace, "careless")
        arena.objects.delete(ref, uid=(arena.objects.get(ref) or {})["metadata"]["uid"])
    breached = {attack["Attack"] for attack in told if attack["Verdict"] == "breached"}
    assert status == 1
    assert {"kubernetes-api", "keystone", "kubelet"} <= breached
    assert not {"pod-ip-8012", "host-path"} & breached


def test_a_tenant_as_it_should_be_passes(arena: Arena, command: list[str]) -> None:
    """Every attack that its level covers is shown to fail, and nothing stays behind."""
    status, told = _run([*command, "--output", "json"])
    wrong = [attack for attack in told["attacks"] if attack["verdict"] != "defended" and attack["failsFrom"] <= "L3"]
    assert not wrong, json.dumps(wrong)
    # It shares the node's kernel, which level L3 does not deny.
    verdicts = {attack["name"]: attack["verdict"] for attack in told["attacks"]}
    assert verdicts["kernel-identity"] == "not promised"
    assert status == 0
    assert len(told["attacks"]) == len(arena.defended)
    _await_nothing_left(arena, TENANT.namespace)


def _run(argv: list[str]) -> tuple[int, Any]:
    done = subprocess.run(argv, cwd=CHECKOUT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def _await_nothing_left(arena: Arena, namespace: str) -> None:
    wait_until("nothing left", lambda: not _left(arena, namespace), seconds=20)


def _left(arena: Arena, namespace: str) -> str:
    return arena.cluster.kubectl("get", "pods,rolebindings", "-n", namespace, *_LEFT)
