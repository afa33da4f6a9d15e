"""The life of a tenant, on a real cluster with a real Keystone: two controllers and an administrator's commands.

The projects are made for each test, so their namespaces are nobody else's. The controllers look after records with a
label of this run only, because the cluster may be shared.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import openstack
import pytest
import yaml

from localcloud import local_cloud
from localcloud.ports import free_ports
from policies.admission_pods import build_pod_admission
from policies.model import Limits, Platform
from policies.names import ProjectId, namespace_of
from tenancy.isolation.pods import restricted_pod
from tenancy.keystone_projects import KeystoneProjects
from tenancy.kubernetes.client import connect
from tenancy.kubernetes.pods import running_pods
from tenancy.model.errors import ProjectsError
from tests.cluster.commands import CommandError, NotReadyError, wait_until
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.platform_objects import platform_objects
from tests.cluster.probes import serve_command
from tests.cluster.product import installed_controller_stopped
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localcloud import LocalCloud
    from tests.cluster.testbed import Testbed

# A shared machine may be slow; what has to be quick is measured where it is claimed.
pytestmark = pytest.mark.timeout(900)
POLL_SECONDS = 2
STORE_PORT = 8080
# It takes no notice of being told to end.
_STUBBORN = f"""
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        socket.create_connection(("{OPENSTACK_ADDRESS}", {STORE_PORT}), 1).close()
        print("open")
    except OSError:
        print("closed")
    time.sleep(0.3)
"""
LEASE_SECONDS = round(scaled(9))
# What a fault makes of the answer to `GET /v3/projects`.
EMPTY = b'{"projects": [], "links": {"self": "x", "next": null, "previous": null}}'
KINDS = (
    "namespace",
    "serviceaccount",
    "resourcequota",
    "limitrange",
    "networkpolicy",
    "services.serving.knative.dev",
)


class FaultyDoor:
    """A door to the real Keystone that can put another answer in the place of the list of projects."""

    def __init__(self, target: str) -> None:
        self.answer: bytes | None = None
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if door.answer is not None and re.fullmatch(r"/v3/projects/?(\?.*)?", self.path):
                    self._send(200, door.answer)
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                request = urllib.request.Request(target + self.path, headers=headers)
                try:
                    with urllib.request.urlopen(request) as reply:
                        self._send(reply.status, reply.read())
                except urllib.error.HTTPError as error:
                    self._send(error.code, error.read())

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@dataclass
class Controller:
    """One replica, a process of its own."""

    port: int
    process: subprocess.Popen[bytes]

    def metric(self, name: str) -> float:
        """Value of a metric by its name and labels as they stand on the page; 0 if it is not there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=scaled(5)) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.rpartition(" ")[2])
        return 0.0

    @property
    def leads(self) -> bool:
        return self.process.poll() is None and self.metric("osfaas_controller_leading") == 1

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=scaled(30))


@dataclass
class Lab:
    """Everything of these tests."""

    cluster: Testbed
    cloud: LocalCloud
    door: FaultyDoor
    folder: Path
    run: str
    controllers: list[Controller] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"tests.osfaas.dev/run={self.run}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KUBECONFIG": str(self.cluster.running.layout.host_kubeconfig),
            "OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml"),
            "OS_CLOUD": "admin",
            "OSFAAS_PLATFORM_FILE": str(self.folder / "platform.yaml"),
        }

    def start_controller(self) -> Controller:
        port = free_ports(1)[0]
        argv = [sys.executable, "-m", "client.cli", "controller", "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--poll-seconds", str(POLL_SECONDS), "--lease-seconds", str(LEASE_SECONDS), "--selector", self.label]
        with (self.folder / f"controller-{port}.log").open("wb") as log:
            process = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log)
        controller = Controller(port, process)
        self.controllers.append(controller)
        wait_until("the controller answers", lambda: _answers(port), seconds=60)
        return controller

    def leader(self, seconds: float = 60) -> Controller:
        """The replica that leads, when one does."""
        wait_until("a leader", lambda: any(each.leads for each in self.controllers), seconds=seconds)
        return next(each for each in self.controllers if each.leads)

    def project(self, name: str = "", domain: str = "default") -> str:
        """A new project in Keystone; its id."""
        body = {"project": {"name": name or f"lab-{secrets.token_hex(4)}", "domain_id": domain}}
        answer = self.cloud.session("admin").post(f"{self.cloud.auth_url}/projects", json=body)
        project: str = answer.json()["project"]["id"]
        self.namespaces.append(namespace_of(ProjectId(project)))
        return project

    def keystone(self, method: str, project: str, **body: Any) -> None:
        url = f"{self.cloud.auth_url}/projects/{project}"
        self.cloud.session("admin").request(url, method, json={"project": body} if body else None)

    def osfaas(self, *words: str, code: int = 0) -> str:
        """An administrator's command, and what it says on both streams."""
        argv = [sys.executable, "-m", "client.cli", "tenant", *words]
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=scaled(600), check=False
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def onboard(self, word: str, project: str, *options: str) -> str:
        """Onboards, puts the label of this run on the record, and waits until it is ready; its namespace."""
        namespace = namespace_of(ProjectId(project))
        self.osfaas("onboard", word, "--no-wait", *options)
        self.cluster.kubectl("label", "tenant", namespace, self.label)
        self.osfaas("onboard", word, *options)
        return namespace

    def tenant(self, namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.kubectl.get("tenant", namespace)
        return found

    def condition(self, namespace: str, type_: str = "Ready") -> tuple[str, str, str]:
        conditions = self.tenant(namespace).get("status", {}).get("conditions", [])
        found: dict[str, str] = next((each for each in conditions if each["type"] == type_), {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def await_condition(self, namespace: str, status: str, reason: str, type_: str = "Ready") -> str:
        """Waits until a condition is so; its message."""
        wanted = (status, reason)
        wait_until(
            f"{type_} of {namespace} is {wanted}, not {self.condition(namespace, type_)}",
            lambda: self.condition(namespace, type_)[:2] == wanted,
            seconds=180,
        )
        return self.condition(namespace, type_)[2]

    def versions(self, namespace: str) -> dict[str, str]:
        """Of everything of ours in a namespace, and the record: which version it is. Quotas count, so they differ."""
        found = {"tenant": self.tenant(namespace)["metadata"]["resourceVersion"]}
        for kind in KINDS:
            words = [namespace] if kind == "namespace" else ["-n", namespace]
            listed = self.cluster.kubectl.get(kind, *words)
            for item in listed.get("items", [listed]):
                metadata = item["metadata"]
                key = "uid" if kind == "resourcequota" else "resourceVersion"
                found[f"{kind}/{metadata['name']}"] = metadata[key]
        return found

    def pods(self, namespace: str) -> list[str]:
        """The pods of a namespace that run, will run or are still terminating; not those that have ended."""
        found = self.cluster.kubectl.get("pods", "-n", namespace)["items"]
        return [each["metadata"]["name"] for each in running_pods(found)]

    def last_line(self, namespace: str) -> str:
        """What the stubborn pod said last; "" if there is none."""
        words = ("logs", "-l", "app=stubborn", "-n", namespace, "--tail=1", "--ignore-errors")
        try:
            return self.cluster.kubectl(*words).strip()
        except CommandError:
            return ""

    def refusal(self, namespace: str) -> str:
        """Why the stubborn Deployment gets no pod."""
        status = self.cluster.kubectl.get("deployment", "stubborn", "-n", namespace).get("status", {})
        found = [each for each in status.get("conditions", []) if each["type"] == "ReplicaFailure"]
        return str(found[0]["message"]) if found else ""

    def revision(self, namespace: str) -> str:
        """The newest revision of checksums."""
        service = self.cluster.kubectl.get("services.serving.knative.dev", "checksums", "-n", namespace)
        return str(service["status"].get("latestReadyRevisionName", ""))

    def is_there(self, kind: str, name: str, namespace: str = "") -> bool:
        words = ["-n", namespace] if namespace else []
        return bool(self.cluster.kubectl("get", kind, name, "--ignore-not-found", "-o", "name", *words).strip())


@pytest.fixture(scope="module")
def lab(cluster: Testbed, tenants_known: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Keystone, a door to it, and two controllers."""
    folder = tmp_path_factory.mktemp("tenancy")
    with (
        installed_controller_stopped(cluster),
        local_cloud() as cloud,
        cluster.namespace("lab-system") as system,
        # Without them, pods would be without what their level gives, and the controller says so.
        platform_objects(connect(cluster.running.layout.host_kubeconfig), build_pod_admission(Platform(functions={}))),
    ):
        door = FaultyDoor(cloud.auth_url.removesuffix("/v3"))
        clouds = yaml.safe_load(cloud.clouds_yaml.read_text())
        clouds["clouds"]["admin"]["identity_endpoint_override"] = f"{door.url}/v3"
        (folder / "clouds.yaml").write_text(yaml.safe_dump(clouds))
        platform = {
            "system_namespace": system,
            # Small: what several tenants have at once must fit on a node with two cores.
            "functions": {"checksums": {"image": "dev.local/checksums:test", "cpu_millis": 100, "memory_mib": 128}},
            "queue_proxy_cpu_millis": 25,
            "destinations": [{"cidr": f"{OPENSTACK_ADDRESS}/32", "ports": [STORE_PORT]}],
        }
        (folder / "platform.yaml").write_text(yaml.safe_dump(platform))
        lab = Lab(cluster, cloud, door, folder, secrets.token_hex(4))
        try:
            lab.start_controller()
            lab.start_controller()
            lab.leader()
            yield lab
        finally:
            for controller in lab.controllers:
                if controller.process.poll() is None:
                    controller.end()
            door.close()
            for log in folder.glob("controller-*.log"):
                print(f"--- {log.name}\n{log.read_text()[-6000:]}")
            cluster.kubectl("delete", "tenant", "--ignore-not-found", "--wait=false", *lab.namespaces)
            cluster.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *lab.namespaces)


@pytest.fixture(scope="module")
def tenant(lab: Lab) -> str:
    """The namespace of a tenant that no test removes."""
    project = lab.project()
    return lab.onboard(project, project)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block takes at most this long."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    print(f"took {took:.1f} s")
    assert took < seconds


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=scaled(2)) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _await_metric(controller: Controller, name: str, enough: float) -> None:
    wait_until(f"{name} is {enough}", lambda: controller.metric(name) >= enough, seconds=30)


def test_a_namespace_that_it_did_not_make_is_not_touched(lab: Lab) -> None:
    """The condition says why; when the foreign object has gone, the tenant is built by itself."""
    project = lab.project()
    namespace = namespace_of(ProjectId(project))
    lab.cluster.kubectl("create", "namespace", namespace)
    before = lab.cluster.kubectl.get("namespace", namespace)
    lab.osfaas("onboard", project, "--no-wait")
    lab.cluster.kubectl("label", "tenant", namespace, lab.label)
    message = lab.await_condition(namespace, "False", "NotOwned", "Namespace")
    assert "was not created by this controller" in message
    assert lab.condition(namespace)[:2] == ("False", "NotOwned")
    assert lab.cluster.kubectl.get("namespace", namespace) == before
    assert not lab.cluster.kubectl.get("networkpolicy", "-n", namespace)["items"]
    lab.cluster.kubectl("delete", "namespace", namespace)
    lab.await_condition(namespace, "True", "AllReady")


def test_unknown_projects_are_refused(lab: Lab) -> None:
    """A name that no domain has, an id that does not exist, and a tenant that is not one: exit code 4."""
    assert "no project named 'nobody'" in lab.osfaas("onboard", "nobody", code=4)
    assert "domain 'nowhere'" in lab.osfaas("onboard", "alice-project", "--domain", "nowhere", code=4)
    assert "not onboarded" in lab.osfaas("show", lab.project(), code=4)


def test_reader_on_the_system_is_all_that_the_credential_needs(lab: Lab) -> None:
    """A member of some project may not list projects, and that is an error, never an empty list."""
    admin, url = lab.cloud.session("admin"), lab.cloud.auth_url
    user = admin.post(f"{url}/users", json={"user": {"name": lab.run, "password": lab.run}}).json()["user"]["id"]
    roles = {role["name"]: role["id"] for role in admin.get(f"{url}/roles").json()["roles"]}
    admin.put(f"{url}/system/users/{user}/roles/{roles['reader']}")
    auth = {"auth_url": url, "user_id": user, "password": lab.run, "system_scope": "all"}
    listed = KeystoneProjects(openstack.connect(load_yaml_config=False, auth=auth)).everything()
    assert set(lab.cloud.seed.projects.values()) <= set(listed)
    with pytest.raises(ProjectsError, match="403"):
        KeystoneProjects(openstack.connection.Connection(session=lab.cloud.session("alice"))).everything()


@pytest.mark.long
def test_two_projects_of_one_name_become_two_tenants(lab: Lab) -> None:
    """One command each; a name is looked up in its domain, and the namespaces are named after the ids."""
    name, physics = f"lab-{secrets.token_hex(4)}", lab.cloud.seed.domains["physics"]
    first, second = lab.project(name), lab.project(name, physics)
    assert lab.onboard(name, first) != (other := lab.onboard(name, second, "--domain", "physics"))
    assert lab.tenant(other)["spec"]["projectID"] == second
    listed = {entry["spec"]["projectID"]: entry for entry in json.loads(lab.osfaas("list", "--output", "json"))}
    for project in (first, second):
        assert listed[project]["status"]["conditions"][-1]["status"] == "True"


def test_a_second_onboarding_changes_nothing(lab: Lab, tenant: str) -> None:
    """Not one object gets a new version."""
    project = lab.tenant(tenant)["spec"]["projectID"]
    before = lab.versions(tenant)
    assert "nothing to change" in lab.osfaas("onboard", project)
    time.sleep(2)
    assert lab.versions(tenant) == before


def test_a_dry_run_shows_the_difference_and_changes_nothing(lab: Lab, tenant: str) -> None:
    """The record's and the cluster's objects, as the API server would store them."""
    project = lab.tenant(tenant)["spec"]["projectID"]
    before = lab.versions(tenant)
    said = lab.osfaas("set", project, "--pods", "3", "--dry-run")
    assert "-    pods: 10" in said
    assert "+    pods: 3" in said
    assert "-    pods: '10'" in said
    assert "+    pods: '3'" in said
    assert "ResourceQuota osfaas" in said
    assert lab.versions(tenant) == before


def test_a_deleted_policy_is_back_within_ten_seconds(lab: Lab, tenant: str) -> None:
    """And so is one that somebody opened by adding a rule where there was none."""
    policies = lab.cluster.kubectl.get("networkpolicy", "-n", tenant)["items"]
    specs = {policy["metadata"]["name"]: policy["spec"] for policy in policies}
    with within(scaled(10)):
        lab.cluster.kubectl("delete", "networkpolicy", *specs, "-n", tenant)
        wait_until(
            "policies are back", lambda: all(lab.is_there("networkpolicy", name, tenant) for name in specs), seconds=10
        )
    hole = json.dumps({"spec": {"egress": [{}], "ingress": [{}]}})

    def closed() -> bool:
        found = lab.cluster.kubectl.get("networkpolicy", "-n", tenant)["items"]
        return {policy["metadata"]["name"]: policy["spec"] for policy in found} == specs

    with within(scaled(10)):
        for name in specs:
            lab.cluster.kubectl("patch", "networkpolicy", name, "-n", tenant, "--type=merge", "-p", hole)
        wait_until("policies are closed again", closed, seconds=10)


@pytest.mark.long
def test_a_limit_of_keystone_is_in_the_quota_within_a_minute(lab: Lab, tenant: str) -> None:
    """Set as `openstack limit create` sets it; without it, the number of the record is back."""
    session, url, resource = lab.cloud.session("admin"), lab.cloud.auth_url, "function_cpu_millis"
    service = session.get(f"{url}/services?type=function").json()["services"][0]["id"]
    project = lab.tenant(tenant)["spec"]["projectID"]
    entry = {"service_id": service, "resource_name": resource}

    def cpu() -> set[str]:
        quotas = lab.cluster.kubectl.get("resourcequota", "-n", tenant)["items"]
        return {str(each["spec"]["hard"]["requests.cpu"]) for each in quotas if "requests.cpu" in each["spec"]["hard"]}

    usual = cpu()
    # The quota allows for the sidecar of each pod, 25m.
    wanted = {f"{1510 + Limits().pods * 25}m"}
    registered = limit = ""
    try:
        answer = session.post(
            f"{url}/registered_limits", json={"registered_limits": [{**entry, "default_limit": 3000}]}
        )
        registered = answer.json()["registered_limits"][0]["id"]
        body = {"limits": [{**entry, "project_id": project, "resource_limit": 1510}]}
        limit = session.post(f"{url}/limits", json=body).json()["limits"][0]["id"]
        with within(60):
            wait_until("Keystone's limit in the quota", lambda: cpu() == wanted, seconds=60)
    finally:
        for kind, each in (("limits", limit), ("registered_limits", registered)):
            if each:
                session.delete(f"{url}/{kind}/{each}")
    with within(60):
        wait_until("the record's number in the quota", lambda: cpu() == usual, seconds=60)
    assert usual != wanted


def test_what_a_tenant_has_of_its_own_stays(lab: Lab, tenant: str) -> None:
    """Also when it wears our labels: we never applied it."""
    ours = {"app.kubernetes.io/managed-by": "osfaas", "osfaas.dev/tenant": tenant}
    for name, labels in (("plain", {}), ("in-our-clothes", ours)):
        lab.cluster.kubectl.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": tenant, "labels": labels},
                "spec": {"podSelector": {"matchLabels": {"app": "mine"}}, "policyTypes": ["Ingress"]},
            }
        )
    lab.cluster.kubectl("delete", "networkpolicy", "osfaas-deny-all", "-n", tenant)
    wait_until("a round is over", lambda: lab.is_there("networkpolicy", "osfaas-deny-all", tenant), seconds=10)
    time.sleep(2)
    assert lab.is_there("networkpolicy", "plain", tenant)
    assert lab.is_there("networkpolicy", "in-our-clothes", tenant)
    lab.cluster.kubectl("delete", "networkpolicy", "plain", "in-our-clothes", "-n", tenant)


def test_an_empty_list_of_projects_changes_nothing(lab: Lab, tenant: str) -> None:
    """Nor does one that lacks most of them, or one that Keystone cut short."""
    before, leader = lab.versions(tenant), lab.leader()
    unusable = 'osfaas_controller_keystone_polls_total{result="unusable"}'
    some = {"id": "0" * 32, "name": "one", "enabled": True, "domain_id": "default"}
    for answer in (EMPTY, json.dumps({"projects": [some]}).encode(), b'{"projects": [], "truncated": true}', b"{}"):
        lab.door.answer, enough = answer, leader.metric(unusable) + 2
        try:
            _await_metric(leader, unusable, enough)
        finally:
            lab.door.answer = None
    assert lab.versions(tenant) == before
    assert lab.tenant(tenant)["status"]["project"]["state"] == "Enabled"


def test_a_disabled_project_is_suspended_until_it_is_enabled(lab: Lab) -> None:
    """Its functions stop; everything else stays."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    lab.keystone("PATCH", project, enabled=False)
    assert "disabled in Keystone" in lab.await_condition(namespace, "False", "ProjectDisabled")
    assert not lab.is_there("services.serving.knative.dev", "checksums", namespace)
    assert lab.is_there("networkpolicy", "osfaas-deny-all", namespace)
    assert lab.tenant(namespace)["status"]["project"]["state"] == "Disabled"
    lab.keystone("PATCH", project, enabled=True)
    lab.await_condition(namespace, "True", "AllReady")


def test_a_deleted_project_is_suspended_and_its_namespace_is_kept(lab: Lab) -> None:
    """The condition names the command that removes it."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    lab.cluster.kubectl("create", "configmap", "own", "-n", namespace)
    lab.keystone("DELETE", project)
    assert f"osfaas tenant offboard {project}" in lab.await_condition(namespace, "False", "ProjectDeleted")
    time.sleep(2 * POLL_SECONDS)
    assert not lab.is_there("services.serving.knative.dev", "checksums", namespace)
    assert lab.is_there("configmap", "own", namespace)


def test_a_suspended_tenant_runs_nothing(lab: Lab) -> None:
    """By command, with the reason, and back."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    assert "Suspended" in lab.osfaas("suspend", project, "--reason", "unpaid", "--wait")
    assert "unpaid" in lab.condition(namespace)[2]
    assert not lab.is_there("services.serving.knative.dev", "checksums", namespace)
    wait_until("its pods are gone", lambda: not lab.cluster.kubectl.get("pods", "-n", namespace)["items"], seconds=60)
    lab.osfaas("resume", project, "--wait")
    assert lab.condition(namespace)[:2] == ("True", "AllReady")


def test_a_suspended_tenant_runs_nothing_of_its_own_either(lab: Lab) -> None:
    """A Deployment that does not want to end, and a Knative Service that never sleeps: closed at once, then gone.

    After the resume both are back, and so are their ways.
    """
    project = lab.project()
    namespace = lab.onboard(project, project)
    with lab.cluster.openstack_server(serve_command(STORE_PORT)):
        lab.cluster.kubectl.apply(stubborn(namespace), awake(lab, namespace))
        wait_until("it reaches the store", lambda: lab.last_line(namespace) == "open", seconds=90)
        wait_until("the other runs", lambda: len(lab.pods(namespace)) > 1, seconds=90)
        lab.osfaas("suspend", project, "--reason", "taken over", "--no-wait")
        wait_until("its way is closed before it ends", lambda: lab.last_line(namespace) == "closed", seconds=25)
        # It gives itself an hour.
        lab.osfaas("suspend", project, "--reason", "taken over", "--wait", "--timeout", "5m")
        assert lab.condition(namespace, "Pods")[:2] == ("True", "Stopped")
        assert lab.pods(namespace) == []
        wait_until("Kubernetes may not make it again", lambda: "exceeded quota" in lab.refusal(namespace), seconds=60)
        assert lab.pods(namespace) == []
        lab.osfaas("resume", project, "--wait")
        wait_until("it is back", lambda: lab.last_line(namespace) == "open", seconds=300)
        wait_until("the other is back", lambda: len(lab.pods(namespace)) > 1, seconds=300)
    # Ended with its Deployment, it would have its hour.
    lab.osfaas("suspend", project, "--reason", "the test is over", "--wait", "--timeout", "5m")


def test_a_specification_that_cannot_be_built_is_suspended_all_the_same(lab: Lab) -> None:
    """And what isolates it is repaired."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    patch = json.dumps({"spec": {"functions": ["checksums", "nothing"]}})
    lab.cluster.kubectl("patch", "tenant", namespace, "--type=merge", "-p", patch)
    assert "no function nothing" in lab.await_condition(namespace, "False", "InvalidSpec")
    assert lab.is_there("services.serving.knative.dev", "checksums", namespace)
    lab.cluster.kubectl("delete", "networkpolicy", "osfaas-deny-all", "-n", namespace)
    wait_until("it is back", lambda: lab.is_there("networkpolicy", "osfaas-deny-all", namespace), seconds=20)
    lab.osfaas("suspend", project, "--reason", "unpaid", "--wait")
    assert not lab.is_there("services.serving.knative.dev", "checksums", namespace)
    assert not lab.is_there("networkpolicy", "osfaas-out", namespace)


@pytest.mark.long
def test_pods_that_are_older_than_the_level_are_named_until_they_are_gone(lab: Lab) -> None:
    """A change of level reaches the catalogue's functions by a new revision, and nothing else that runs."""
    project = lab.project()
    namespace = lab.onboard(project, project, "--isolation", "L2")
    lab.cluster.kubectl.apply(stubborn(namespace, seconds=1))
    wait_until("it runs", lambda: bool(lab.last_line(namespace)), seconds=90)
    before = lab.revision(namespace)
    lab.osfaas("set", project, "--isolation", "L3", "--no-wait")
    assert "stubborn" in lab.await_condition(namespace, "False", "BelowLevel", "Pods")
    wait_until("another revision", lambda: lab.revision(namespace) != before, seconds=60)
    lab.cluster.kubectl("delete", "deployment", "stubborn", "-n", namespace)
    lab.await_condition(namespace, "True", "AtLevel", "Pods")


def stubborn(namespace: str, seconds: int = 3600) -> dict[str, Any]:
    """A Deployment whose pod says all the time whether it reaches the store, and ends with its grace period only."""
    pod = restricted_pod(namespace, "stubborn", "dev.local/checksums:test", ["python3", "-uc", _STUBBORN])
    pod["spec"] |= {"restartPolicy": "Always", "terminationGracePeriodSeconds": seconds}
    del pod["spec"]["activeDeadlineSeconds"]
    labels = {"app": "stubborn"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "stubborn", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
        },
    }


def awake(lab: Lab, namespace: str) -> dict[str, Any]:
    """The tenant's own Knative Service of which one pod always runs."""
    spec = lab.cluster.kubectl.get("services.serving.knative.dev", "checksums", "-n", namespace)["spec"]
    spec["template"]["metadata"].pop("labels", None)
    spec["template"]["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] = "1"
    labels = {"networking.knative.dev/visibility": "cluster-local"}
    metadata = {"name": "awake", "namespace": namespace, "labels": labels}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata, "spec": spec}


def test_offboarding_takes_two_steps_and_time(lab: Lab) -> None:
    """Before the grace period is over it cannot be confirmed; unconfirmed, nothing is removed after it."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    assert "was not requested" in lab.osfaas("offboard", project, "--confirm", code=1)
    lab.osfaas("offboard", project, "--grace", "1h", "--wait")
    assert not lab.is_there("services.serving.knative.dev", "checksums", namespace)
    assert "grace period ends at" in lab.osfaas("offboard", project, "--confirm", code=1)
    assert "--confirm removes it" in lab.condition(namespace)[2]
    lab.osfaas("offboard", project, "--cancel", "--wait")
    lab.osfaas("offboard", project, "--grace", "1s", "--wait")
    time.sleep(5)
    assert lab.is_there("namespace", namespace)
    lab.osfaas("offboard", project, "--confirm", "--wait", "--timeout", "4m")
    assert not lab.is_there("namespace", namespace)
    assert not lab.is_there("tenant", namespace)


def test_a_record_that_is_deleted_takes_nothing_with_it(lab: Lab) -> None:
    """So the CRD can go and come back: nothing is owned by a record, and records have no finalizers."""
    project = lab.project()
    namespace = lab.onboard(project, project)
    assert "finalizers" not in lab.tenant(namespace)["metadata"]
    assert "ownerReferences" not in lab.cluster.kubectl.get("namespace", namespace)["metadata"]
    uid = lab.cluster.kubectl.get("namespace", namespace)["metadata"]["uid"]
    lab.cluster.kubectl("delete", "tenant", namespace)
    time.sleep(5)
    assert lab.is_there("services.serving.knative.dev", "checksums", namespace)
    lab.onboard(project, project)
    assert lab.cluster.kubectl.get("namespace", namespace)["metadata"]["uid"] == uid


def test_why_a_function_does_not_run_is_in_the_record(lab: Lab, tenant: str) -> None:
    """An exhausted quota and an image that cannot be pulled, with the reasons of a real cluster."""
    own = lab.cluster.kubectl.get("services.serving.knative.dev", "checksums", "-n", tenant)

    def make(name: str, image: str, **labels: str) -> None:
        spec = json.loads(json.dumps(own["spec"]))
        spec["template"]["spec"]["containers"][0] |= {"image": image, "imagePullPolicy": "Never"}
        spec["template"]["metadata"].pop("labels", None)
        labels["networking.knative.dev/visibility"] = "cluster-local"
        metadata = {"name": name, "namespace": tenant, "labels": labels}
        lab.cluster.kubectl.apply(
            {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata, "spec": spec}
        )

    def reason(name: str) -> str:
        functions = lab.tenant(tenant)["status"]["functions"]
        return next((each["reason"] for each in functions if each["name"] == name), "")

    def await_reason(name: str, expected: str) -> None:
        try:
            wait_until(f"the reason of {name} is {expected}", lambda: reason(name) == expected, seconds=60)
        except NotReadyError:
            print(lab.cluster.kubectl("get", "pods", "-n", tenant, "-o", "wide"))
            raise AssertionError(lab.tenant(tenant)["status"]["functions"]) from None

    make("no-image", "dev.local/nothing:1")
    await_reason("no-image", "ErrImageNeverPull")
    lab.cluster.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "full", "namespace": tenant},
            "spec": {"hard": {"pods": "0"}},
        }
    )
    wait_until(
        "the quota counts",
        lambda: "used" in lab.cluster.kubectl.get("quota", "full", "-n", tenant)["status"],
        seconds=20,
    )
    make("no-room", "dev.local/checksums:test", **{"osfaas.dev/callable": "true"})
    await_reason("no-room", "ExceededQuota")
    functions = {each["name"]: each for each in lab.tenant(tenant)["status"]["functions"]}
    assert "exceeded quota" in functions["no-room"]["message"]
    assert not functions["checksums"]["callable"]
    assert functions["no-room"]["callable"]
    lab.cluster.kubectl("delete", "quota", "full", "-n", tenant)
    lab.cluster.kubectl("delete", "services.serving.knative.dev", "no-image", "no-room", "-n", tenant)
    wait_until("they are forgotten", lambda: len(lab.tenant(tenant)["status"]["functions"]) == 1, seconds=60)


def test_the_other_replica_takes_over_from_a_leader_that_was_killed(lab: Lab, tenant: str) -> None:
    """What happened in between is repaired; a leader that ends by itself gives the lead away at once."""
    killed, before = lab.leader(), lab.versions(tenant)
    assert sum(controller.leads for controller in lab.controllers) == 1
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    lab.cluster.kubectl("delete", "networkpolicy", "osfaas-deny-all", "-n", tenant)
    with within(LEASE_SECONDS + scaled(10)):
        assert lab.leader() is not killed
        wait_until("it is back", lambda: lab.is_there("networkpolicy", "osfaas-deny-all", tenant), seconds=20)
    # A new leader remembers nothing and applies everything once more; that changes no object.
    time.sleep(3)
    back = "networkpolicy/osfaas-deny-all"
    assert {**lab.versions(tenant), back: ""} == {**before, back: ""}
    successor = lab.leader()
    lab.start_controller()
    assert successor.end() == 0
    with within(LEASE_SECONDS):
        assert lab.leader() is not successor
