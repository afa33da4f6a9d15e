"""Object events through Knative's broker: an event becomes a stored digest, again after an outage, or a dead letter."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from policies.names import ProjectId, namespace_of
from tests.cluster.commands import wait_until
from tests.cluster.eventing import BROKER_SERVICE, install_eventing
from tests.cluster.eventing import NAMESPACE as EVENTING_NAMESPACE
from tests.cluster.layout import CHECKOUT
from tests.cluster.product import EDGE_HOST, SYSTEM
from tests.cluster.test_end_to_end import store
from tests.cluster.testbed import PROBE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.probes import Reply
    from tests.cluster.product import Product

USER, PROJECT, CONTAINER = "alice", "alice-project", "box"
_SECRET = secrets.token_hex(16)
_DIGEST_SECONDS = 60
# The trigger's waits are 2, 4, 8, 16 … seconds.
_REDELIVERY_SECONDS = 180
_DEAD_LETTERS = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        print("dead letter", self.headers["ce-id"], self.headers["ce-knativeerrorcode"], flush=True)
        self.send_response(202)
        self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Events:
    """The project's broker, trigger and forwarder."""

    product: Product
    namespace: str

    def send(self, name: str, records: Any) -> str:
        """What RGW pushes with `cloudevents=true`; returns the event's id."""
        identity = f"tx{secrets.token_hex(8)}.rgw"
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-type": "com.amazonaws.ObjectCreated:Put",
            "ce-time": "2026-11-24T10:00:00.123456Z",
            "ce-id": identity,
            "ce-source": f"ceph:s3.default.{CONTAINER}",
            "ce-subject": name,
        }
        words = [word for key, value in headers.items() for word in ("--header", f"{key}: {value}")]
        address = self.product.cluster.service_address(EVENTING_NAMESPACE, BROKER_SERVICE)
        url = f"http://{address}/{self.namespace}/osfaas-objects"
        body = json.dumps({"Records": records}).encode()
        sent: list[Reply] = []

        def accepted() -> bool:
            sent.append(self.product.cluster.curl_from_node(url, "--data-binary", "@-", *words, data=body))
            return sent[-1].status == 202

        # Right after the broker is Ready, its ingress may not know it yet.
        wait_until("the broker accepts the event", accepted, seconds=30, pause=1)
        return identity

    def announce(self, name: str) -> str:
        """The creation of an object."""
        return self.send(name, [created(name)])

    def stored(self, name: str) -> str | None:
        """The Adler-32 in the object's metadata."""
        cloud = self.product.openstack.outside
        found = cloud.session(USER).head(f"{cloud.account_url(USER)}/{CONTAINER}/{name}").headers
        value: str | None = found.get("X-Object-Meta-Adler32")
        return value

    def await_digest(self, name: str, content: bytes, seconds: float) -> None:
        wait_until(f"a digest of {name}", lambda: self.stored(name) is not None, seconds=seconds, pause=1)
        assert self.stored(name) == f"{zlib.adler32(content):08x}"

    def logs(self, deployment: str) -> str:
        return self.product.cluster.kubectl("logs", "-n", self.namespace, f"deployment/{deployment}", "--tail=-1")


def created(name: str) -> dict[str, Any]:
    return {
        "eventName": "ObjectCreated:Put",
        "eventSource": "ceph:s3",
        "s3": {"bucket": {"name": CONTAINER}, "object": {"key": name, "size": 1}},
    }


@pytest.fixture(scope="module")
def events(product: Product) -> Iterator[Events]:
    """The manifests of the product, in a namespace of the project's own."""
    product.osfaas("tenant", "onboard", PROJECT, "--domain", "Default")
    install_eventing(product.cluster)
    with ExitStack() as ending:
        namespace = ending.enter_context(product.cluster.namespace("project-events"))
        folder = Path(ending.enter_context(TemporaryDirectory(dir=product.folder)))
        write_overlay(product, folder, namespace)
        kubectl = product.cluster.kubectl
        kubectl.apply(*dead_letters(namespace))
        kubectl("apply", "--server-side", "-k", str(folder))
        for what in ("deployment/osfaas-events", "deployment/dead-letters"):
            kubectl("wait", "--for=condition=Available", what, "-n", namespace, "--timeout=120s")
        for what in ("broker/osfaas-objects", "trigger/osfaas-checksums"):
            kubectl("wait", "--for=condition=Ready", what, "-n", namespace, "--timeout=120s")
        yield Events(product, namespace)
    product.remove_tenant(namespace_of(ProjectId(product.openstack.inside.users[USER].project_id)))


def write_overlay(product: Product, folder: Path, namespace: str) -> None:
    """What the guide has a project set: its credential, its secret, the gateway's name; and a dead-letter sink."""
    clouds = yaml.safe_load(product.openstack.inside.clouds_yaml.read_text())["clouds"]
    cloud = {**clouds[USER], "cacert": "/etc/osfaas/openstack/ca.crt"}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"osfaas-events": cloud}}))
    (folder / "ca.crt").write_bytes((product.folder / "certificates" / "ca.crt").read_bytes())
    (folder / "secret").write_text(_SECRET)
    edge = product.cluster.service_address("istio-system", "istio-ingressgateway")
    pod = "/spec/template/spec"
    sink = {"ref": {"apiVersion": "v1", "kind": "Service", "name": "dead-letters"}}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(CHECKOUT / "manifests" / "eventing", folder)],
        "images": [{"name": "osfaas-gateway", "newName": "dev.local/osfaas-gateway", "newTag": "test"}],
        "generatorOptions": {"disableNameSuffixHash": True},
        "secretGenerator": [
            {"name": "osfaas-events-keystone", "files": ["clouds.yaml", "ca.crt"]},
            {"name": "osfaas-events-secret", "files": ["secret"]},
        ],
        "patches": [
            patch("Deployment", "replace", {"/spec/replicas": 1}),
            patch(
                "Deployment",
                "add",
                {
                    f"{pod}/hostAliases": [{"ip": edge, "hostnames": [EDGE_HOST]}],
                    f"{pod}/containers/0/args/-": f"--endpoint=https://{EDGE_HOST}",
                },
            ),
            patch("Trigger", "add", {"/spec/subscriber/uri": f"/{_SECRET}", "/spec/delivery/deadLetterSink": sink}),
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))


def patch(kind: str, operation: str, values: dict[str, Any]) -> dict[str, Any]:
    steps = [{"op": operation, "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(steps)}


def dead_letters(namespace: str) -> tuple[dict[str, Any], ...]:
    """A sink that prints what it gets."""
    metadata, labels = {"name": "dead-letters", "namespace": namespace}, {"app": "dead-letters"}
    container = {
        "name": "sink",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", _DEAD_LETTERS],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {"selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}
    return (
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )


def test_an_event_of_ceph_becomes_a_stored_digest(product: Product, events: Events) -> None:
    """Broker, trigger, forwarder, edge, gateway, function, and back to the object's metadata."""
    content = secrets.token_bytes(50_000)
    store(product, USER, "by-event", content)
    assert not events.stored("by-event")
    identity = events.announce("by-event")
    events.await_digest("by-event", content, _DIGEST_SECONDS)
    assert identity not in events.logs("dead-letters")


def test_an_event_that_can_never_succeed_is_a_dead_letter(events: Events) -> None:
    """The gateway's refusal is final: it is not delivered again, and not lost."""
    identity = events.send("odd", [{"s3": "nothing of a record"}])
    wait_until("the dead letter", lambda: f"dead letter {identity} 400" in events.logs("dead-letters"), seconds=60)


def test_an_event_waits_for_the_gateway(product: Product, events: Events) -> None:
    """No gateway is there when it comes; it is delivered again until one is, and is no dead letter."""
    content = secrets.token_bytes(50_000)
    store(product, USER, "while-away", content)
    with no_gateway(product):
        identity = events.announce("while-away")
        wait_until("an attempt without a gateway", lambda: "503" in answers_at_the_edge(product), seconds=60)
        assert not events.stored("while-away")
    events.await_digest("while-away", content, _REDELIVERY_SECONDS)
    assert identity not in events.logs("dead-letters")


def answers_at_the_edge(product: Product) -> str:
    """The lines of Envoy's log about events, since the gateway is away: it had answered all before."""
    log = product.cluster.kubectl("logs", "-n", "istio-system", "deployment/istio-ingressgateway", "--since=60s")
    return "\n".join(line for line in log.splitlines() if "/v1/events" in line)


@contextmanager
def no_gateway(product: Product) -> Iterator[None]:
    kubectl, where = product.cluster.kubectl, ("-n", SYSTEM, "deployment/osfaas-gateway")
    replicas = kubectl("get", *where, "-o", "jsonpath={.spec.replicas}")
    kubectl("scale", *where, "--replicas=0")
    try:
        selector = "app.kubernetes.io/name=osfaas-gateway"
        kubectl("wait", "--for=delete", "pod", "-n", SYSTEM, "-l", selector, "--timeout=180s")
        yield
    finally:
        kubectl("scale", *where, f"--replicas={replicas}")
        kubectl("wait", "--for=condition=Available", *where, "--timeout=180s")
