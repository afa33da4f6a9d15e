"""Level L3 with sidecars: mutual TLS between gateway, activator and function, and callers by SPIFFE identity.

NetworkPolicies refuse all of these callers already. To see what identities refuse, tests open them.
"""

from __future__ import annotations

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import wait_until
from tests.cluster.platform.sidecars import install_with_sidecars
from tests.cluster.probes import Outcome, Reply
from tests.cluster.product import SMALL, Product, product_on
from tests.cluster.progress import say
from tests.cluster.test_end_to_end import ask, assert_right, content, store
from tests.cluster.testbed import PROBE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Pod, Testbed

# By user: project, its domain, and level. The one at L2 has no sidecars: whoever gets through the network is answered.
TENANTS = {
    "alice": ("alice-project", "Default", "L3"),
    "bob": ("bob-project", "Default", "L3"),
    "carol": ("alice-project", "physics", "L2"),
}
INJECT = "sidecar.istio.io/inject"
FUNCTION = "serving.knative.dev/service=checksums"
CALLS, METRICS, DRAIN, OWN = 8012, 9090, 8022, 8080
ASLEEP_SECONDS = 90
# One small pod for each tenant: the node has two processors, and its pods sidecars.
CHECKSUMS = {**SMALL["functions"]["checksums"], "cpu_millis": 100, "concurrency": 8, "max_scale": 1}
PLATFORM = {**SMALL, "functions": {"checksums": CHECKSUMS}, "sidecars": True}


@pytest.fixture(scope="module")
def product(cluster: Testbed, openstack: OpenStack) -> Iterator[Product]:
    """The product with `sidecars: true`; the cluster ends with it, because Knative and Istio are not the same again."""
    with product_on(cluster, openstack, PLATFORM, install=install_with_sidecars, stays=True) as installed:
        yield installed


@pytest.fixture(scope="module")
def tenants(product: Product) -> Iterator[dict[str, str]]:
    """Projects onboarded: namespace by user."""
    namespaces: dict[str, str] = {}
    for user, (project, domain, level) in TENANTS.items():
        namespaces[user] = namespace_of(ProjectId(product.openstack.inside.users[user].project_id))
        product.osfaas("tenant", "onboard", project, "--domain", domain, "--isolation", level)
    yield namespaces
    for namespace in namespaces.values():
        product.remove_tenant(namespace)


@dataclass(frozen=True)
class Callers:
    """Pods with curl. All but the plain one have a sidecar, and so the identity of their namespace's account."""

    plain: Pod
    stranger: Pod
    ingress: Pod
    knative: Pod


@pytest.fixture(scope="module")
def callers(cluster: Testbed, product: Product) -> Iterator[Callers]:
    with ExitStack() as ending:
        place = ending.enter_context(cluster.namespace("stranger"))

        def caller(namespace: str, name: str, inject: str = "true") -> Pod:
            ending.callback(cluster.kubectl, "delete", "pod", name, "-n", namespace, "--wait=false")
            return cluster.start_pod(namespace, name, labels={INJECT: inject})

        yield Callers(
            plain=caller(place, "plain", "false"),
            stranger=caller(place, "stranger"),
            ingress=caller("istio-system", "caller"),
            knative=caller("knative-serving", "caller"),
        )


@dataclass(frozen=True)
class Function:
    """A running pod of a tenant's function, whose NetworkPolicies let everybody through, and a Service of its ports."""

    product: Product
    user: str
    namespace: str

    def awake(self) -> dict[str, Any]:
        """The pod; a call keeps it for Knative's window."""
        compute(self.product, self.user)
        return running_pod(self.product, self.namespace)

    def by_address(self, caller: Pod, port: int, path: str = "/healthz") -> Reply:
        return self._ask(caller, self.awake()["status"]["podIP"], port, path)

    def by_service(self, caller: Pod, port: int, path: str = "/healthz") -> Reply:
        """The proxies of callers know mutual TLS to Services only."""
        self.awake()
        return self._ask(caller, f"doors.{self.namespace}", port, path)

    def _ask(self, caller: Pod, host: str, port: int, path: str) -> Reply:
        return self.product.cluster.curl_from_pod(caller, f"http://{host}:{port}{path}", seconds=10)


def compute(product: Product, user: str) -> float:
    """Seconds of a call for the digests of a new object: those of an old one are known to the gateway."""
    name = secrets.token_hex(4)
    store(product, user, name, content(user))
    with product.caller(user) as caller:
        started = time.monotonic()
        assert_right(ask(caller, name), content(user))
        return time.monotonic() - started


def running_pod(product: Product, namespace: str) -> dict[str, Any]:
    """The function's, which is ready."""
    label, _, name = FUNCTION.partition("=")
    pods = [pod for pod in product.pods(namespace) if pod["metadata"]["labels"].get(label) == name]
    return next(pod for pod in pods if is_ready(pod))


def is_ready(pod: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def containers(pod: dict[str, Any]) -> list[str]:
    return [each["name"] for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])]


@contextmanager
def opened(cluster: Testbed, namespace: str) -> Iterator[None]:
    """The block in which NetworkPolicies let everything in and out of the namespace."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    cluster.kubectl.apply(policy)
    try:
        yield
    finally:
        cluster.kubectl("delete", "networkpolicy", "open", "-n", namespace)


@contextmanager
def open_function(product: Product, user: str, namespace: str) -> Iterator[Function]:
    """The tenant's function, reachable by everybody and at each of its ports."""
    kind, label = FUNCTION.split("=")
    ports = [{"name": f"http-{port}", "port": port, "targetPort": port} for port in (CALLS, METRICS, DRAIN, OWN)]
    doors = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "doors", "namespace": namespace},
        "spec": {"selector": {kind: label}, "ports": ports},
    }
    product.cluster.kubectl.apply(doors)
    try:
        with opened(product.cluster, namespace):
            yield Function(product, user, namespace)
    finally:
        product.cluster.kubectl("delete", "service", "doors", "-n", namespace)


@pytest.fixture
def function(product: Product, tenants: dict[str, str]) -> Iterator[Function]:
    with open_function(product, "alice", tenants["alice"]) as opened_function:
        yield opened_function


def expect(what: str, attempt: Sequence[Any], wanted: Any) -> None:
    """The reply, at the latest when Envoy and Cilium have heard of what changed."""
    ask_once, *words = attempt
    seen: list[Reply] = []

    def as_wanted() -> bool:
        seen.append(ask_once(*words))
        return bool(wanted(seen[-1]))

    try:
        wait_until(what, as_wanted, seconds=30, pause=0.5)
    except Exception as error:
        raise AssertionError(f"{what}: saw {seen[-2:]}") from error


def answered(status: int) -> Any:
    return lambda reply: reply.outcome is Outcome.ANSWERED and reply.status == status


def denied(reply: Reply) -> bool:
    """By the callee's proxy, which has read the caller's certificate."""
    return reply.status == 403 and reply.body == "RBAC: access denied"


def reset(reply: Reply) -> bool:
    """Before any HTTP: no chain of the callee's proxy takes a connection without TLS."""
    return reply.outcome is Outcome.BROKEN and "reset by peer" in reply.problem


def test_cold_and_warm_call_through_the_whole_chain(product: Product, tenants: dict[str, str]) -> None:
    """From zero: activator, sidecars and queue-proxy; the digest is right. The tenant without sidecars beside it."""
    for user in ("alice", "carol", "alice", "carol"):
        wait_until("asleep", lambda: not any(map(product.pods, tenants.values())), seconds=ASLEEP_SECONDS)
        cold, warm = compute(product, user), compute(product, user)
        say(f"{user} ({TENANTS[user][-1]}): cold call {cold:.1f} s, the next {warm * 1000:.0f} ms")


def test_pod_has_a_sidecar_in_a_user_namespace_under_pod_security_restricted(
    product: Product, tenants: dict[str, str], function: Function
) -> None:
    """Alice's at L3; carol's at L2 has none. Resources are those of the platform file, and within the quota."""
    pod = function.awake()
    assert containers(pod) == ["istio-validation", "istio-proxy", "function", "queue-proxy"]
    assert pod["spec"]["hostUsers"] is False
    proxy = pod["spec"]["initContainers"][1]
    assert proxy["resources"]["limits"] == {"cpu": "1", "memory": "192Mi", "ephemeral-storage": "256Mi"}
    place = product.cluster.kubectl.get("namespace", tenants["alice"])["metadata"]["labels"]
    assert place["pod-security.kubernetes.io/enforce"] == "restricted"
    compute(product, "carol")
    assert containers(running_pod(product, tenants["carol"])) == ["function", "queue-proxy"]


def test_plain_connection_is_refused_at_each_port_of_the_function(
    product: Product, tenants: dict[str, str], callers: Callers, function: Function
) -> None:
    """The same pod does reach the function of a tenant without sidecars, when NetworkPolicies let it."""
    for port in (CALLS, METRICS, DRAIN, OWN):
        expect(f"plain to {port}", (function.by_address, callers.plain, port), reset)
    with open_function(product, "carol", tenants["carol"]) as without:
        expect("plain to 8012 without sidecars", (without.by_address, callers.plain, CALLS), answered(200))
        expect("plain to 8022 without sidecars", (without.by_address, callers.plain, DRAIN, "/"), answered(404))


def test_caller_is_known_by_its_identity(callers: Callers, function: Function) -> None:
    """With mutual TLS: a stranger is denied; Istio's and Knative's namespaces get what their parts need, no more."""
    for port in (CALLS, METRICS, DRAIN, OWN):
        expect(f"stranger to {port}", (function.by_service, callers.stranger, port), denied)
    expect("Istio's to calls", (function.by_service, callers.ingress, CALLS), answered(200))
    expect("Knative's to calls", (function.by_service, callers.knative, CALLS), answered(200))
    expect("Knative's to metrics", (function.by_service, callers.knative, METRICS, "/metrics"), answered(200))
    for port in (METRICS, DRAIN, OWN):
        expect(f"Istio's to {port}", (function.by_service, callers.ingress, port), denied)
    for port in (DRAIN, OWN):
        expect(f"Knative's to {port}", (function.by_service, callers.knative, port), denied)


def test_it_is_the_authorization_policy_that_denies(callers: Callers, function: Function) -> None:
    """The stranger is let in by a second one that names its namespace, and denied again without it."""
    cluster, name = function.product.cluster, "let-in"
    rule = {
        "from": [{"source": {"namespaces": [callers.stranger.namespace]}}],
        "to": [{"operation": {"ports": [str(CALLS)]}}],
    }
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": function.namespace},
        "spec": {"action": "ALLOW", "rules": [rule]},
    }
    cluster.kubectl.apply(policy)
    try:
        expect("stranger is let in", (function.by_service, callers.stranger, CALLS), answered(200))
    finally:
        cluster.kubectl("delete", "authorizationpolicy", name, "-n", function.namespace)
    expect("stranger is denied again", (function.by_service, callers.stranger, CALLS), denied)


def test_another_tenants_function_is_denied(product: Product, tenants: dict[str, str], function: Function) -> None:
    """Bob's function, whose proxy has the identity of his namespace, calls alice's."""
    with open_function(product, "bob", tenants["bob"]) as bobs:
        expect("bob to alice", (status_from_function, bobs, function, CALLS), denied)


def status_from_function(caller: Function, callee: Function, port: int) -> Reply:
    """What a program beside the function's own gets."""
    # At once: while one starts, the other may go to sleep.
    with ThreadPoolExecutor() as threads:
        pod, _ = (each["metadata"]["name"] for each in threads.map(Function.awake, (caller, callee)))
    program = f"""
import urllib.request, urllib.error
try:
    reply = urllib.request.urlopen("http://doors.{callee.namespace}:{port}/healthz", timeout=10)
except urllib.error.HTTPError as error:
    reply = error
print(reply.status, reply.read().decode())
"""
    words = ("exec", "-n", caller.namespace, pod, "-c", "function", "--", "python3", "-c", program)
    status, _, body = caller.product.cluster.kubectl(*words).strip().partition(" ")
    return Reply(Outcome.ANSWERED, int(status), body, 0, "")


def test_activator_carries_only_the_gateways_calls(
    product: Product, tenants: dict[str, str], callers: Callers, function: Function
) -> None:
    """It has an identity that each function trusts, and takes the tenant's name from the request."""
    cluster = product.cluster
    forged = (
        *("--header", f"Knative-Serving-Namespace: {tenants['alice']}"),
        *(
            "--header",
            f"Knative-Serving-Revision: {function.awake()['metadata']['labels']['serving.knative.dev/revision']}",
        ),
    )

    def call(caller: Pod, host: str) -> Reply:
        return cluster.curl_from_pod(caller, f"http://{host}/healthz", *forged, seconds=30)

    with opened(cluster, "knative-serving"):
        (activator,) = cluster.kubectl.get("pods", "-n", "knative-serving", "-l", "app=activator")["items"]
        expect("plain to the activator", (call, callers.plain, f"{activator['status']['podIP']}:8012"), reset)
        expect("stranger to the activator", (call, callers.stranger, "activator-service.knative-serving"), denied)
        expect("Istio's to it", (call, callers.ingress, "activator-service.knative-serving"), answered(200))
        with without_identities(cluster, "osfaas-activator"):
            place = "activator-service.knative-serving"
            expect("stranger to it without the policies", (call, callers.stranger, place), answered(200))


@contextmanager
def without_identities(cluster: Testbed, name: str) -> Iterator[None]:
    """The block in which Knative's namespace has none of the two objects of this name."""
    kinds = ("peerauthentication", "authorizationpolicy")
    saved = [cluster.kubectl.get(kind, name, "-n", "knative-serving") for kind in kinds]
    for kind in kinds:
        cluster.kubectl("delete", kind, name, "-n", "knative-serving")
    try:
        yield
    finally:
        for item in saved:
            metadata = {key: item["metadata"][key] for key in ("name", "namespace", "labels")}
            cluster.kubectl.apply({**{key: item[key] for key in ("apiVersion", "kind", "spec")}, "metadata": metadata})


def test_probes_metrics_and_drain_work(product: Product, function: Function) -> None:
    """The kubelet's probes and the drain go by Istio's own port; the autoscaler's scrapes by mutual TLS."""
    pod = function.awake()
    name = pod["metadata"]["name"]
    queue, main = (
        next(each for each in pod["spec"]["containers"] if each["name"] == n) for n in ("queue-proxy", "function")
    )
    assert queue["readinessProbe"]["httpGet"]["port"] == main["lifecycle"]["preStop"]["httpGet"]["port"] == 15020
    logs = ("logs", name, "-n", function.namespace, "-c", "istio-proxy", "--tail=-1")

    def scraped() -> bool:
        lines = product.cluster.kubectl(*logs).splitlines()
        return any('"GET /metrics HTTP/1.1" 200' in line and f"inbound|{METRICS}||" in line for line in lines)

    wait_until("the autoscaler's scrape", scraped, seconds=30)
    assert any(f"inbound|{CALLS}||" in line for line in product.cluster.kubectl(*logs).splitlines())


def test_call_ends_though_its_pod_is_deleted(product: Product, function: Function) -> None:
    """A drain: the pod stays until the digest is sent. No hook failed."""
    data = content("alice", 300_000_000)
    store(product, "alice", "big", data)
    name = function.awake()["metadata"]["name"]
    with product.caller("alice", seconds=120) as caller, ThreadPoolExecutor() as pool:
        call = pool.submit(ask, caller, "big")
        time.sleep(0.5)
        assert not call.done()
        product.cluster.kubectl("delete", "pod", name, "-n", function.namespace, "--wait=false")
        assert_right(call.result(), data)
    events = product.cluster.kubectl.get("events", "-n", function.namespace)["items"]
    assert not [event["message"] for event in events if event["reason"] == "FailedPreStopHook"]


def test_istios_own_port_is_closed_by_network_policies_alone(
    product: Product, tenants: dict[str, str], callers: Callers, function: Function
) -> None:
    """No identity guards it: where NetworkPolicies are open, a stranger drains a pod. With them, nobody reaches it."""
    path = "/app-lifecycle/function/prestopz"
    expect("drain by Istio's port", (function.by_address, callers.plain, 15020, path), answered(200))
    compute(product, "bob")
    address = running_pod(product, tenants["bob"])["status"]["podIP"]
    reply = product.cluster.curl_from_pod(callers.plain, f"http://{address}:15020{path}")
    assert reply.outcome is Outcome.TIMED_OUT


def test_own_function_in_the_sandbox_has_no_sidecar_and_answers(product: Product, tenants: dict[str, str]) -> None:
    """gVisor's network stack passes istio-cni's rules by: with a sidecar the pod would never start."""
    namespace = tenants["alice"]
    own = {
        "apiVersion": "osfaas.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "boxed", "namespace": namespace},
        "spec": {
            "image": product.cluster.name_by_digest(PROBE_IMAGE),
            "command": ["python3", "-m", "http.server", "--directory", "/tmp", "8080"],
            "cpuMillis": 100,
            "memoryMiB": 160,
        },
    }
    product.cluster.kubectl.apply(own)
    try:
        with product.caller("alice-member") as caller:
            ready = ("wait", "--for=condition=Ready", "functions.osfaas.dev/boxed", "-n", namespace, "--timeout=180s")
            product.cluster.kubectl(*ready)
            assert caller.get("/v1/invoke/boxed/").status_code == 200
        pods = product.pods(namespace)
        (pod,) = [pod for pod in pods if pod["metadata"]["labels"].get("osfaas.dev/function") == "boxed"]
        assert pod["spec"]["runtimeClassName"] == SMALL["sandbox_runtime_class"]
        assert "istio-proxy" not in containers(pod)
    finally:
        product.cluster.kubectl("delete", "functions.osfaas.dev", "boxed", "-n", namespace)


def test_attacks_of_level_three_are_all_defended(product: Product, tenants: dict[str, str]) -> None:
    """`osfaas tenant verify`, each attack with its positive control."""
    words = ("tenant", "verify", "alice-project", "--domain", "Default", "--against", "bob-project")
    keystone = ("--keystone", product.openstack.inside.auth_url)
    told = json.loads(product.osfaas(*words, *keystone, "--output", "json", check=False).stdout)
    wrong = [each for each in told["attacks"] if each["verdict"] != "defended" and each["failsFrom"] <= "L3"]
    assert not wrong, json.dumps(wrong)
    say(f"{sum(each['verdict'] == 'defended' for each in told['attacks'])} of {len(told['attacks'])} attacks defended")


def test_platform_check_finds_nothing_missing_about_sidecars(product: Product) -> None:
    """And what it would find if Knative's activator were outside the mesh is in tests/unit."""
    words = ("platform", "check", "--platform", str(product.folder / "platform.yaml"), "--output", "json")
    found = json.loads(product.osfaas(*words, check=False).stdout)
    assert not [each for each in found if each["code"].startswith(("sidecars.", "policies."))]
