"""An ordinary member deploys functions of his project's own by the command line, and calls them through the edge."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from policies.labels import OWN_FUNCTION
from policies.names import ProjectId, namespace_of
from tenancy.function_repository import KubernetesFunctionRepository
from tenancy.kubernetes.client import connect
from tenancy.model.errors import ConflictError
from tests.cluster.commands import CommandError, wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.platform.sandbox import RUNTIME_CLASS
from tests.cluster.product import EDGE_HOST
from tests.cluster.progress import say
from tests.cluster.testbed import PROBE_IMAGE
from tests.machine import scaled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    import httpx

    from tests.cluster.product import Product

MEMBER, READER, STRANGER = "alice-member", "alice-reader", "bob"
CALLS = 1_000
CALLS_A_SECOND = 50
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (os.environ["VERSION"] + " " + self.path).encode()
        if self.path == "/secret":
            with open("/run/secrets/db-password", "rb") as file:
                body = file.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("listening as", os.getuid(), flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
UPPER = """
import http.server, json, os
from urllib.error import HTTPError
from urllib.request import Request, urlopen
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        source, target = (json.loads(self.headers["Osfaas-" + field]) for field in ("Input", "Output"))
        with urlopen(Request(source["url"], headers=source["headers"])) as reply:
            content = reply.read()
        urlopen(Request(target["url"], content.upper(), target["headers"], method="PUT")).close()
        refused = {}
        for name, url, method in (
            ("second object", target["url"].replace("/texts/out", "/texts/second"), "PUT"),
            ("read of the output", target["url"], "GET"),
            ("write to the input", source["url"], "PUT"),
            ("another input", source["url"].replace("/texts/in", "/texts/other"), "GET"),
        ):
            try:
                urlopen(Request(url, b"x" if method == "PUT" else None, target["headers"], method=method)).close()
                refused[name] = 0
            except HTTPError as error:
                refused[name] = error.code
        mounts = open("/proc/self/mounts").read()
        seen = json.dumps({"fields": list(self.headers.items()), "environment": dict(os.environ), "refused": refused,
                           "files": os.listdir("/run/secrets") if "/run/secrets" in mounts else []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        self.wfile.write(seen)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
CRASH = "print('about to fail', flush=True); raise SystemExit(3)"
SIZE = ("--cpu", "100", "--memory", "96")

pytestmark = pytest.mark.timeout(900)


class Member:
    """A member with the command line, and with an HTTP client for calls."""

    def __init__(self, product: Product, namespace: str, image: str, calls: httpx.Client) -> None:
        self.product = product
        self.namespace = namespace
        self.image = image
        self.calls = calls
        # What the first deployment of `hello` printed.
        self.progress: list[str] = []

    def function(self, *words: str, user: str = MEMBER, check: bool = True) -> subprocess.CompletedProcess[str]:
        # The words of the command come before its options.
        depth = 2 if words[0] == "secret" else 1
        where = ("-e", f"https://{EDGE_HOST}")
        return self.product.osfaas_as(user, "function", *words[:depth], *where, *words[depth:], check=check)

    def deploy(self, name: str, version: str, *words: str, program: str = SERVER) -> subprocess.CompletedProcess[str]:
        start = ("--command", "python", "--arg", "-c", "--arg", program, "--env", f"VERSION={version}")
        return self.function("deploy", name, "--image", self.image, *start, *SIZE, *words, check=False)

    def show(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.function("show", name, "-f", "json").stdout)
        return found

    def call(self, target: str) -> httpx.Response:
        return self.calls.get(f"/v1/invoke/{target}")

    def metrics(self, name: str) -> dict[str, dict[str, Any]]:
        """Of each revision. Every replica of the gateway has to answer."""
        metrics = self.calls.get(f"/v1/functions/{name}/metrics").json()["metrics"]
        assert metrics["replicas_answered"] == metrics["replicas"] >= 1, metrics
        return {each["name"]: each for each in metrics["revisions"]}

    def as_functions_api(self, *words: str, stdin: str | None = None) -> str:
        """`kubectl` with the rights of the functions API."""
        account = "system:serviceaccount:osfaas-system:osfaas-functions-api"
        return self.product.cluster.kubectl("--as", account, "-n", self.namespace, *words, stdin=stdin)

    def knative_services(self) -> list[str]:
        words = (
            "get",
            "services.serving.knative.dev",
            "-n",
            self.namespace,
            "-o",
            "jsonpath={.items[*].metadata.name}",
        )
        return self.product.cluster.kubectl(*words).split()


@pytest.fixture(scope="module")
def member(product: Product) -> Iterator[Member]:
    # The namespace of an earlier file's tenant may still be going.
    product.osfaas(
        *("tenant", "onboard", "alice-project", "--domain", "Default", "--requests-per-second", "200"),
        *("--timeout", "10m"),
    )
    product.osfaas("tenant", "onboard", "bob-project", "--domain", "Default", "--timeout", "10m")
    users = product.openstack.inside.users
    namespaces = [namespace_of(ProjectId(users[user].project_id)) for user in (MEMBER, STRANGER)]
    image = product.cluster.name_by_digest(PROBE_IMAGE)
    with product.caller(MEMBER) as calls:
        yield Member(product, namespaces[0], image, calls)
    for namespace in namespaces:
        product.remove_tenant(namespace)


@pytest.fixture(scope="module")
def hello(member: Member) -> str:
    """A function that serves its first version; tests leave it serving."""
    started = time.monotonic()
    done = member.deploy("hello", "v1")
    assert done.returncode == 0, done.stderr
    member.progress = done.stderr.splitlines()
    answer = member.call("hello/a/b?c=d")
    say(f"deployed and called after {time.monotonic() - started:.1f} s")
    assert (answer.status_code, answer.text) == (200, "v1 /a/b?c=d")
    return "hello"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"image": "dev.local/python:3.11"}, "named by its digest"),
        ({"traffic": [{"percent": 50}]}, "100 together"),
        ({"traffic": [{"percent": 100, "revision": "other-1"}]}, "revisions of this function only"),
        ({"traffic": [{"percent": 50, "tag": "a"}, {"percent": 50, "tag": "a"}]}, "a tag names one revision"),
        ({"environment": {"K_SERVICE": "x"}}, "set by Knative"),
        ({"environment": {"a b": "x"}}, "names of variables"),
        ({"port": 8012}, "queue-proxy"),
        ({"minScale": 7}, "minScale must not be larger"),
        ({"args": ["\0"]}, "should match"),
        ({"environment": {"A": "\0"}}, "should match"),
        ({"attempt": 2**40}, "less than or equal to"),
        ({"secrets": ["../x"]}, "should match"),
        ({"secrets": ["a", "a"]}, "Duplicate value"),
        ({"traffic": [{"percent": 100, "revision": "odd-UPPER"}]}, "should match"),
    ],
)
def test_the_definition_refuses_what_the_api_refuses(member: Member, spec: dict[str, Any], said: str) -> None:
    """Records from Git pass no API of ours."""
    manifest = {
        "apiVersion": "osfaas.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "odd", "namespace": member.namespace},
        "spec": {"image": member.image, **spec},
    }
    with pytest.raises(CommandError, match=said):
        member.product.cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(manifest))


def test_the_first_deployment_begins_and_ends_with_the_lines_of_the_page(member: Member, hello: str) -> None:
    """How many lines there are between them depends on how fast the cluster is."""
    page = (CHECKOUT / "docs/how-to/deploy-a-function.md").read_text(encoding="utf-8")
    block = re.search(r"osfaas function deploy hello .*?```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shown, printed = ([_without_values(line) for line in lines] for lines in (block[1].splitlines(), member.progress))
    assert (printed[:2], printed[-1]) == (shown[:2], shown[-1])


def test_the_function_runs_in_the_sandbox(member: Member, hello: str) -> None:
    """The project is at level L3: the origin of the code decides. The container's kernel is not the node's."""
    assert member.call(hello).status_code == 200
    kubectl, where = member.product.cluster.kubectl, ("-n", member.namespace)
    pod = next(pod for pod in member.product.pods(member.namespace) if pod["metadata"]["labels"].get(OWN_FUNCTION))
    assert pod["spec"]["runtimeClassName"] == RUNTIME_CLASS
    name = pod["metadata"]["name"]
    release = kubectl("exec", *where, name, "-c", "function", "--", "cat", "/proc/sys/kernel/osrelease")
    (node,) = kubectl.get("nodes")["items"]
    assert release.strip() != node["status"]["nodeInfo"]["kernelVersion"]


def _without_values(line: str) -> str:
    """Times and names of revisions differ."""
    return re.sub(r"\d+\.\d|\b[0-9a-f]{8}\b", "…", line).strip()


def test_own_code_runs_as_isolated_as_the_level_says(member: Member, hello: str) -> None:
    """In the sandbox, without a token, with a read-only root, as the user of the specification."""
    assert member.call(f"{hello}/").status_code == 200
    pods = [pod for pod in member.product.pods(member.namespace) if pod["metadata"]["name"].startswith(hello)]
    assert pods
    for pod in pods:
        spec = pod["spec"]
        # gVisor starts no pod in a user namespace; what holds at L3 without a sandbox is tested by `host-users`.
        assert (spec["runtimeClassName"], spec.get("hostUsers", True)) == (RUNTIME_CLASS, True)
        assert spec["automountServiceAccountToken"] is False
        (container,) = [each for each in spec["containers"] if each["name"] == "function"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["runAsUser"] == 65532
    assert "listening as 65532" in member.function("logs", hello).stdout


def test_the_same_deployment_again_changes_nothing(member: Member, hello: str) -> None:
    before = member.show(hello)
    done = member.deploy(hello, "v1")
    assert (done.returncode, "nothing to change" in done.stderr) == (0, True)
    assert member.show(hello)["status"]["latest_created_revision"] == before["status"]["latest_created_revision"]


@pytest.mark.parametrize(
    ("words", "program", "said"),
    [
        (("--image", "dev.local/python@sha256:" + "0" * 64), SERVER, "image cannot be pulled"),
        ((), CRASH, "ended with exit code 3 (Error); its last output: about to fail"),
    ],
    ids=["no-such-image", "crash"],
)
def test_a_revision_that_does_not_start_takes_no_call_and_says_why(
    member: Member, hello: str, words: tuple[str, ...], program: str, said: str
) -> None:
    """The earlier one serves on; deploying that again ends the failure."""
    done = member.deploy(hello, "broken", *words, program=program)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stderr
    assert Counter(member.call(f"{hello}/").text for _ in range(50)) == {"v1 /": 50}
    assert member.deploy(hello, "v1").returncode == 0
    assert member.call(f"{hello}/").text == "v1 /"


def test_calls_are_shared_and_a_rollback_takes_them_back(member: Member, hello: str) -> None:
    first = member.show(hello)["status"]["latest_ready_revision"]
    assert member.deploy(hello, "v2", "--no-traffic").returncode == 0
    assert member.call(f"{hello}/").text == "v1 /"
    assert member.function("traffic", hello, f"{first}=90", "latest@canary=10").returncode == 0
    wait_until("the tag is known", lambda: member.call(f"{hello}@canary/").status_code == 200, seconds=30)
    assert {member.call(f"{hello}@canary/x").text for _ in range(5)} == {"v2 /x"}
    assert member.call(f"{hello}@other/").json()["errors"][0]["code"] == "function.not_found"
    before = member.metrics(hello)
    with ThreadPoolExecutor(8) as pool:
        seen = Counter(pool.map(lambda _: member.call(f"{hello}/").text, range(CALLS)))
    say(f"of {CALLS} calls with shares of 90 and 10: {dict(seen)}")
    # Four standard deviations of a fair draw.
    assert abs(seen["v2 /"] / CALLS - 0.1) < 0.04
    assert set(seen) == {"v1 /", "v2 /"}
    counted = {
        name: counts["calls"] - before.get(name, {"calls": 0})["calls"]
        for name, counts in member.metrics(hello).items()
    }
    assert {counted.pop(first), sum(counted.values())} == {seen["v1 /"], seen["v2 /"]}

    assert member.deploy(hello, "v2").returncode == 0
    wait_until("all calls reach the new version", lambda: member.call(f"{hello}/").text == "v2 /", seconds=30)
    started = time.monotonic()
    assert member.function("rollback", hello).returncode == 0
    wait_until("the old version answers", lambda: member.call(f"{hello}/").text == "v1 /", seconds=30)
    seconds = time.monotonic() - started
    say(f"rolled back after {seconds:.1f} s, the command's own start included")
    assert seconds < scaled(5)
    rows = member.function("revisions", hello).stdout.splitlines()
    assert any(first in row and "100 %" in row for row in rows)
    assert member.deploy(hello, "v1").returncode == 0


def test_a_secret_is_a_file_and_appears_nowhere_else(member: Member, hello: str) -> None:
    """A new value makes a new revision; the one before keeps the old value, so a rollback has it back."""
    values = [secrets.token_urlsafe(16) for _ in range(2)]

    def put(value: str) -> None:
        response = member.calls.put("/v1/secrets/db-password", json={"secret": {"payload": value}})
        assert response.status_code in {200, 201}, response.text
        assert value not in response.text

    put(values[0])
    assert member.function("set", hello, "--secret", "db-password").returncode == 0
    wait_until("the file is there", lambda: member.call(f"{hello}/secret").text == values[0], seconds=60)
    put(values[1])
    wait_until("the file has the new value", lambda: member.call(f"{hello}/secret").text == values[1], seconds=60)
    listed = member.function("secret", "list").stdout
    assert "db-password" in listed
    shown = member.function("show", hello, "-f", "json").stdout
    kubectl = member.product.cluster.kubectl
    told = [listed, shown, member.function("logs", hello).stdout]
    kinds = "functions.osfaas.dev,functionsecrets,pods,revisions,services.serving.knative.dev,events"
    told.append(kubectl("get", kinds, "-n", member.namespace, "-o", "json"))
    for process in ("functions-api", "gateway", "controller"):
        selector = f"app.kubernetes.io/name=osfaas-{process}"
        told += [kubectl("logs", "-n", "osfaas-system", "-l", selector, "--tail=-1")]
    for value in values:
        assert not any(value in text for text in told)
    refused = member.function("secret", "delete", "db-password", "--yes", check=False)
    assert (refused.returncode, hello in refused.stderr) == (1, True)
    assert member.function("rollback", hello).returncode == 0
    wait_until("the old value is back", lambda: member.call(f"{hello}/secret").text == values[0], seconds=30)
    stranger = member.function("secret", "list", user=STRANGER).stdout
    assert "db-password" not in stranger


def test_the_functions_api_can_read_no_secret_and_touch_no_other(member: Member) -> None:
    """By RBAC it reads none; by admission it makes and deletes its own only. Each is tried with the other's consent."""
    kubectl = member.product.cluster.kubectl
    own = kubectl("get", "secrets", "-n", member.namespace, "-o", "name").split()
    assert any("osfaas-secret-db-password-" in name for name in own)
    kubectl("create", "secret", "generic", "pull", "-n", member.namespace, "--from-literal=a=b")
    try:
        for verb in (
            ["get", own[0]],
            ["get", "secrets"],
            ["get", "secrets", "--watch-only"],
            ["patch", own[0], "-p", "{}"],
        ):
            with pytest.raises(CommandError, match=r"cannot (get|list|watch|patch) resource"):
                member.as_functions_api(*verb)
        with pytest.raises(CommandError, match="Secrets of functions only"):
            member.as_functions_api("delete", "secret", "pull")
        for name, kind, immutable, said in (
            ("other", "osfaas.dev/function-secret", True, "Secrets of functions only"),
            ("osfaas-secret-x-0", "kubernetes.io/service-account-token", True, "Secrets of functions only"),
            ("osfaas-secret-x-0", "osfaas.dev/function-secret", False, "immutable"),
        ):
            manifest = {
                "apiVersion": "v1", "kind": "Secret", "type": kind, "immutable": immutable,
                "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "default"}},
            }  # fmt: skip
            with pytest.raises(CommandError, match=said):
                member.as_functions_api("create", "-f", "-", stdin=yaml.safe_dump(manifest))
        # A right too many in RBAC does not open other Secrets: an update, even one that changes nothing, is refused.
        role = ("role", "careless", "-n", member.namespace)
        kubectl("create", *role, "--verb=get,patch", "--resource=secrets")
        binding = ("rolebinding", "careless", "-n", member.namespace)
        kubectl("create", *binding, "--role=careless", "--serviceaccount=osfaas-system:osfaas-functions-api")
        try:
            with pytest.raises(CommandError, match="Secrets of functions only"):
                member.as_functions_api("patch", "secret", "pull", "-p", '{"metadata":{"labels":{"a":"b"}}}')
        finally:
            kubectl("delete", *binding)
            kubectl("delete", *role)
    finally:
        kubectl("delete", "secret", "pull", "-n", member.namespace)


def test_a_log_is_followed_while_the_function_writes(member: Member, hello: str) -> None:
    word = secrets.token_hex(8)
    with member.calls.stream("GET", f"/v1/functions/{hello}/logs?follow=true", timeout=scaled(60)) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        assert any("listening as" in line for line in lines)
        member.product.cluster.kubectl("get", "ns", member.namespace)
        threading.Thread(target=lambda: member.calls.get(f"/v1/invoke/{hello}/{word}")).start()
        found = json.loads(next(line for line in lines if word in line))
    assert found["revision"].startswith(f"{hello}-")
    assert found["pod"].startswith(found["revision"])


def test_calls_of_each_revision_are_counted(member: Member, hello: str) -> None:
    revision = member.show(hello)["status"]["active_revisions"][0]["name"]
    before = member.metrics(hello)[revision]
    for _ in range(20):
        assert member.call(f"{hello}/").status_code == 200
    after = member.metrics(hello)[revision]
    assert after["calls"] - before["calls"] == 20
    assert after["errors"] == before["errors"]
    assert 0 < after["p50_seconds"] <= after["p95_seconds"]
    assert isinstance(after["cold_starts"], int)
    page = member.function("show", hello).stdout
    assert f"calls of {revision}" in page
    exposed = member.calls.get(f"/metrics/functions/{member.namespace}")
    assert exposed.status_code == 404


def test_one_record_that_cannot_be_read_hides_no_other(member: Member, hello: str) -> None:
    """The definition refuses what the controller cannot read, so its rule is taken away for a moment."""
    kubectl = member.product.cluster.kubectl
    definition = json.loads(kubectl("get", "crd", "functions.osfaas.dev", "-o", "json"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = schema["properties"]["traffic"].pop("x-kubernetes-validations")
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/traffic/x-kubernetes-validations"
    patch = ("patch", "crd", "functions.osfaas.dev", "--type=json", "-p")
    kubectl(*patch, json.dumps([{"op": "remove", "path": path}]))
    manifest = {
        "apiVersion": "osfaas.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "odd", "namespace": member.namespace},
        "spec": {"image": member.image, "traffic": [{"percent": 50}]},
    }

    def written() -> bool:
        try:
            kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        except CommandError:
            # The API server takes a moment to serve the changed definition.
            return False
        return True

    try:
        wait_until("the record is written", written, seconds=30)
        listed = member.function("list")
        assert hello in listed.stdout
        assert "Function odd is malformed" in listed.stderr
        assert member.call(f"{hello}/").status_code == 200
    finally:
        kubectl("delete", "functions.osfaas.dev", "odd", "-n", member.namespace, "--ignore-not-found")
        kubectl(*patch, json.dumps([{"op": "add", "path": path, "value": rules}]))


def test_a_write_on_an_old_version_is_refused_by_the_api_server(member: Member, hello: str) -> None:
    """The lock is Kubernetes' own, whatever the API remembers."""
    cluster = connect(member.product.cluster.running.layout.host_kubeconfig)
    functions = KubernetesFunctionRepository(cluster)
    namespace: Any = member.namespace
    old = functions.get(namespace, hello)
    assert old is not None
    # Variables that are gone are gone: the specification is replaced, not merged.
    newer = functions.update(replace(old, spec=replace(old.spec, environment={"VERSION": "v1", "MORE": "1"})))
    with pytest.raises(ConflictError):
        functions.update(replace(old, spec=replace(old.spec, args=("x",))))
    restored = functions.update(replace(newer, spec=old.spec))
    assert dict(restored.spec.environment) == {"VERSION": "v1"}


def test_limits_refuse_with_numbers(member: Member, hello: str) -> None:
    large = member.function("deploy", "large", "--image", member.image, "--memory", "9000", check=False)
    assert (large.returncode, "9000 MiB" in large.stderr, "4096 MiB" in large.stderr) == (1, True, True)
    elsewhere = member.function("deploy", "x", "--image", f"ghcr.io/x/y{member.image[-72:]}", check=False)
    assert elsewhere.returncode == 1
    assert "allowed registries and repositories: dev.local" in elsewhere.stderr
    member.product.osfaas("tenant", "set", "alice-project", "--domain", "Default", "--own-functions", "1", "--wait")
    try:
        second = member.deploy("second", "v1")
        assert second.returncode == 1
        assert "has 1 functions of its own, and its limit is 1" in second.stderr
    finally:
        member.product.osfaas("tenant", "set", "alice-project", "--domain", "Default", "--own-functions", "10")


def test_others_see_nothing_and_readers_write_nothing(member: Member, hello: str) -> None:
    assert member.function("list", user=STRANGER).stdout.splitlines() == ["NAME  READY  REASON  REVISION  URL"]
    for verb in ("show", "logs", "revisions"):
        done = member.function(verb, hello, user=STRANGER, check=False)
        assert (done.returncode, "has no function 'hello' of its own" in done.stderr) == (1, True)
    assert member.function("delete", hello, "--yes", user=STRANGER, check=False).returncode == 1
    with member.product.caller(STRANGER) as stranger:
        assert stranger.get(f"/v1/invoke/{hello}/").json()["errors"][0]["code"] == "function.not_found"
    assert hello in member.function("list", user=READER).stdout
    refused = member.function("delete", hello, "--yes", user=READER, check=False)
    assert (refused.returncode, "role" in refused.stderr) == (1, True)
    assert member.call(f"{hello}/").status_code == 200


def test_a_suspended_project_runs_nothing_and_comes_back_from_its_records(member: Member, hello: str) -> None:
    administration = ("alice-project", "--domain", "Default")
    member.product.osfaas("tenant", "suspend", *administration, "--reason", "unpaid", "--no-wait")
    try:
        wait_until("no service is left", lambda: hello not in member.knative_services(), seconds=60)
        wait_until("calls are refused", lambda: member.call(f"{hello}/").status_code == 403, seconds=30)
        refused = member.deploy(hello, "v9")
        assert (refused.returncode, "unpaid" in refused.stderr) == (1, True)
    finally:
        member.product.osfaas("tenant", "resume", *administration, "--no-wait")
    wait_until("it serves again", lambda: member.call(f"{hello}/").text == "v1 /", seconds=120)


def test_a_deleted_function_is_gone(member: Member, hello: str) -> None:
    assert member.deploy("short", "v1").returncode == 0
    assert member.call("short/").text == "v1 /"
    member.function("delete", "short", "--yes")
    wait_until("its service is gone", lambda: "short" not in member.knative_services(), seconds=60)
    wait_until("no call reaches it", lambda: member.call("short/").status_code == 404, seconds=60)
    assert hello in member.function("list").stdout


def test_own_code_reads_and_writes_one_object_each_without_a_credential(member: Member) -> None:
    """From the tenant's pod to the real Swift; without `--objects`, the query is the function's own."""
    product, user = member.product, "alice"
    session, account = product.openstack.outside.session(user), product.openstack.outside.account_url(user)
    session.put(f"{account}/texts", headers={"X-Container-Meta-Temp-URL-Key": secrets.token_hex(16)})
    for name, content in (("in", b"made of bytes"), ("other", b"not for the function")):
        session.put(f"{account}/texts/{name}", data=content)
    path = "/v1/invoke/upper/?input=texts/in&output=texts/out"
    assert member.deploy("upper", "v1", program=UPPER).returncode == 0
    with product.caller(user) as caller:
        assert caller.post(path).status_code == 502
        assert member.function("set", "upper", "--objects").returncode == 0
        answers: list[httpx.Response] = []

        def made() -> bool:
            answers.append(caller.post(path))
            return answers[-1].status_code == 200

        wait_until("it takes objects", made, seconds=30)
        assert session.get(f"{account}/texts/out").content == b"MADE OF BYTES"
        assert json.loads(answers[-1].headers["Osfaas-Output"])["state"] == "written"
        seen = answers[-1].json()
        # What it was given: no token, no EC2 secret, no URL of another object, in no field, variable or file.
        text = json.dumps([seen["fields"], seen["environment"]])
        assert "x-auth-token" not in {name.lower() for name, _ in seen["fields"]}
        assert caller.headers["X-Auth-Token"] not in text
        assert not re.search("(?i)secret|password|credential|aws_|os_", " ".join(seen["environment"])), seen
        assert set(re.findall(r"/texts/(\w+)", text)) == {"in", "out"}
        assert seen["files"] == []
        # What it tried with that: the store refuses all of it.
        assert set(seen["refused"]) == {"second object", "read of the output", "write to the input", "another input"}
        assert set(seen["refused"].values()) <= {401, 403}, seen["refused"]
        assert session.get(f"{account}/texts/second", raise_exc=False).status_code == 404
        assert session.get(f"{account}/texts/in").content == b"made of bytes"
        again = caller.post(path)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "object.exists")


def test_no_call_fails_while_a_revision_replaces_another(member: Member) -> None:
    """Fifty calls a second, or as many as the machine carries, from before the deployment until after it."""
    assert member.deploy("steady", "v1", "--cpu", "200").returncode == 0
    seen: list[tuple[int, str]] = []
    ended = threading.Event()

    def call() -> None:
        answer = member.call("steady/")
        seen.append((answer.status_code, answer.text))

    def calls(pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            pool.submit(call)
            due += 1 / CALLS_A_SECOND

    with ThreadPoolExecutor(16) as pool:
        caller = threading.Thread(target=calls, args=(pool,))
        caller.start()
        started = time.monotonic()
        try:
            time.sleep(5)
            assert member.deploy("steady", "v2", "--cpu", "200").returncode == 0
            wait_until("the new revision answers", lambda: seen[-1:] == [(200, "v2 /")], seconds=30)
        finally:
            ended.set()
            caller.join()
    rate = len(seen) / (time.monotonic() - started)
    say(f"{rate:.0f} calls a second: {Counter(seen)}")
    assert rate > 0.9 * CALLS_A_SECOND / scaled(1)
    assert {(200, "v1 /"), (200, "v2 /")} == set(seen)
