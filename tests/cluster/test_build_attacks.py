"""Attacks of a build: what a package's setup.py tries, and what a pod of another tenant tries with the registry.

Each is shown to work where its defence is taken away.
"""

from __future__ import annotations

import json
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from builds.layers import blob_of
from policies.labels import BUILD
from policies.model import TenantSpec
from policies.names import ProjectId, namespace_of
from policies.own_build import PULL_SECRET, build_job, build_push_secret
from policies.own_function import OwnFunction
from tenancy.platform.platform_file import read_platform
from tenancy.registry_credentials import CredentialSigner
from tests.cluster.builds import HOST, REGISTRY_PORT, TOKEN_URL
from tests.cluster.commands import run, wait_until
from tests.cluster.node.facts import API_PORT, NODE_ADDRESS, OPENSTACK_ADDRESS, OPENSTACK_INTERFACE, OPENSTACK_NETWORK
from tests.cluster.progress import say
from tests.integration.wheels import write_sdist

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.builds import BuildSite
    from tests.cluster.product import Product

METADATA = "169.254.169.254"
PROGRAM = """
import base64, json, os, socket, urllib.error, urllib.request

def connects(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True

def pushes(repository):
    found = [path for path in ("/run/osfaas/stolen", "/run/osfaas/credential") if os.path.exists(path)]
    login = open(found[0]).read().strip()
    basic = {{"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}}
    url = {tokens!r} + "?service=osfaas-registry&scope=repository:" + repository + ":pull,push"
    token = json.load(urllib.request.urlopen(urllib.request.Request(url, headers=basic)))["token"]
    bearer = {{"Authorization": "Bearer " + token}}
    upload = "http://{host}/v2/" + repository + "/blobs/uploads/"
    try:
        return urllib.request.urlopen(urllib.request.Request(upload, b"", bearer, method="POST")).status
    except urllib.error.HTTPError as error:
        return error.code

found = {{name: connects(*place) for name, place in {places!r}.items()}}
found |= {{"push:" + name: pushes(repository) for name, repository in {repositories!r}.items()}}
try:
    open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()
    found["token"] = True
except OSError:
    found["token"] = False
print("FOUND" + json.dumps(found), flush=True)
raise SystemExit(1)
"""

pytestmark = pytest.mark.timeout(900)


class Attacker:
    """Alice's project, in which an operator who allows source distributions builds a function of hers."""

    def __init__(self, product: Product, site: BuildSite) -> None:
        users = product.openstack.inside.users
        self.product, self.site = product, site
        self.alice, self.bob = (ProjectId(users[user].project_id) for user in ("alice", "bob"))
        self.spec = TenantSpec(self.alice)
        self.namespace = namespace_of(self.alice)
        builds = read_platform(product.folder / "platform.yaml").builds
        assert builds is not None
        self.builds = replace(builds, source_distributions=True)
        self.signer = CredentialSigner.from_file(site.credential_key)

    def source(self, folder: Path) -> str:
        """Stores an archive of a function that needs the package `evil`."""
        with zipfile.ZipFile(folder / "archive", "w") as archive:
            archive.writestr("main.py", "def main(request): return ''\n")
            archive.writestr("requirements.txt", "evil==1.0\n")
        blob = blob_of((folder / "archive").read_bytes(), folder / "blob")
        with self.site.registry(f"{self.alice}/evil") as registry:
            registry.push_blob(f"{self.alice}/evil", blob)
        return blob.digest

    def build(self, source: str, name: str, *, stolen: ProjectId | None = None) -> dict[str, Any]:
        """Runs a build; what the package's code found out. It pushes with the credential that it has stolen, if any."""
        kubectl = self.product.cluster.kubectl
        function = OwnFunction(name="evil", source=source, attempt=len(name))
        job = build_job(self.spec, self.builds, function)
        # The controller keeps its own names for itself, and removes what it has not made.
        job["metadata"] = {"name": name, "namespace": self.namespace}
        secret = build_push_secret(self.spec, self.signer.credentials_of(self.alice, time.time()))
        if stolen:
            (login,) = build_push_secret(self.spec, self.signer.credentials_of(stolen, time.time()))["data"].values()
            secret["data"]["stolen"] = login
        secret["metadata"] = {"name": name, "namespace": self.namespace}
        job["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"] = name
        job["spec"]["backoffLimit"] = 0
        kubectl.apply(secret, job)
        try:
            selector = f"job-name={name}"

            def ended() -> bool:
                pods = kubectl.get("pods", "-n", self.namespace, "-l", selector)["items"]
                return any(pod["status"].get("phase") in {"Failed", "Succeeded"} for pod in pods)

            wait_until(f"the build {name} has ended", ended, seconds=180)
            said = kubectl("logs", "-n", self.namespace, "-l", selector, "--tail=100")
        finally:
            kubectl("delete", "job", name, "-n", self.namespace, "--wait=false")
            kubectl("delete", "secret", name, "-n", self.namespace)
        line = next((line for line in said.splitlines() if "FOUND{" in line), None)
        assert line is not None, said
        found: dict[str, Any] = json.JSONDecoder().raw_decode(line.partition("FOUND")[2].replace('\\"', '"'))[0]
        say(f"{name}: {found}")
        return found


@pytest.fixture(scope="module")
def attacker(product: Product, site: BuildSite) -> Iterator[Attacker]:
    for project in ("alice-project", "bob-project"):
        product.osfaas("tenant", "onboard", project, "--domain", "Default", "--wait")
    made = Attacker(product, site)
    side = ["ip", "-n", OPENSTACK_NETWORK, "address"]
    run(product.cluster.running.on_node(*side, "add", f"{METADATA}/32", "dev", OPENSTACK_INTERFACE))
    server = ("python3", "-m", "http.server", "80", "--bind", METADATA, "--directory", "/var/empty")
    try:
        with product.cluster.openstack_server(server):
            yield made
    finally:
        run(product.cluster.running.on_node(*side, "del", f"{METADATA}/32", "dev", OPENSTACK_INTERFACE))
        for project in (made.alice, made.bob):
            product.remove_tenant(namespace_of(project))


@contextmanager
def open_network(attacker: Attacker) -> Iterator[None]:
    """A policy that lets builds connect to everything."""
    kubectl = attacker.product.cluster.kubectl
    kubectl.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "open", "namespace": attacker.namespace},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": BUILD, "operator": "Exists"}]},
                "policyTypes": ["Egress"],
                "egress": [{}],
            },
        }
    )
    try:
        yield
    finally:
        kubectl("delete", "networkpolicy", "open", "-n", attacker.namespace)


def test_code_of_a_package_reaches_the_registry_of_its_project_and_nothing_else(
    attacker: Attacker, tmp_path: Path
) -> None:
    openstack = attacker.product.openstack
    places = {
        "api": (NODE_ADDRESS, API_PORT),
        "service": (attacker.product.cluster.service_address("default", "kubernetes"), 443),
        "metadata": (METADATA, 80),
        "keystone": (OPENSTACK_ADDRESS, openstack.keystone_port),
        "swift": (OPENSTACK_ADDRESS, openstack.swift_port),
        "registry": (OPENSTACK_ADDRESS, REGISTRY_PORT),
    }
    repositories = {"own": f"{attacker.alice}/evil", "other": f"{attacker.bob}/evil", "base": "base/asgi"}
    program = PROGRAM.format(tokens=TOKEN_URL, host=HOST, places=places, repositories=repositories)
    write_sdist(attacker.site.packages / "evil", "evil", "1.0", program)
    source = attacker.source(tmp_path)
    refused = dict.fromkeys(("api", "service", "metadata", "keystone", "swift", "token"), False)
    found = attacker.build(source, "evil")
    assert found == {**refused, "registry": True, "push:own": 202, "push:other": 401, "push:base": 401}
    # Without the policy, and with the credential of the other project, it succeeds.
    with open_network(attacker):
        found = attacker.build(source, "evil-open", stolen=attacker.bob)
    reached = {name: found[name] for name in ("api", "service", "metadata", "keystone", "swift")}
    assert reached == dict.fromkeys(reached, True)
    assert (found["push:other"], found["push:own"]) == (202, 401)


def test_pod_pulls_no_image_of_another_project(attacker: Attacker) -> None:
    """With the Secret of its own project; and it does with that of the other one."""
    kubectl, other = attacker.product.cluster.kubectl, namespace_of(attacker.bob)
    image = f"{HOST}/{attacker.alice}/private@{attacker.site.copy_base('asgi', f'{attacker.alice}/private')}"

    def secret(namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = kubectl.get("secret", PULL_SECRET, "-n", namespace)
        return found

    wait_until("both tenants have their Secret", lambda: bool(secret(attacker.namespace) and secret(other)), seconds=60)
    stolen = {
        **secret(attacker.namespace),
        "metadata": {"name": "stolen", "namespace": other},
    }
    kubectl.apply(stolen)
    try:
        for name, credential, expected in (("own", PULL_SECRET, False), ("theirs", "stolen", True)):
            kubectl.apply(_pod(other, name, image, credential))
            pulled: list[bool] = []

            def decided(name: str = name, pulled: list[bool] = pulled) -> bool:
                statuses = kubectl.get("pod", name, "-n", other)["status"].get("containerStatuses", ())
                for status in statuses:
                    if status["state"].get("waiting", {}).get("reason") in {"ErrImagePull", "ImagePullBackOff"}:
                        pulled.append(False)
                    elif status.get("imageID"):
                        pulled.append(True)
                return bool(pulled)

            wait_until(f"the pull by {name} is decided", decided, seconds=90)
            assert pulled[0] is expected, name
    finally:
        kubectl("delete", "pods", "own", "theirs", "-n", other, "--ignore-not-found", "--force", "--grace-period=0")
        kubectl("delete", "secret", "stolen", "-n", other)


def _pod(namespace: str, name: str, image: str, credential: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        # Otherwise a node that has it asks nobody; which is why the platform refuses the image itself.
        "imagePullPolicy": "Always",
        "command": ["sleep", "60"],
        "resources": {"limits": {"cpu": "50m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "containers": [container],
            "imagePullSecrets": [{"name": credential}],
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
        },
    }
