"""Ceph's own events through Knative's broker and trigger to the forwarder, the gateway, and the digest with the object.

The commands are those of docs/how-to/checksums-by-event.md. Ceph stands outside the cluster and reaches the broker by
Istio's ingress, as the page says.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.commands import wait_until
from tests.cluster.dead_letters import DeadLetter, DeadLetterSink
from tests.cluster.event_site import (
    EVENTS_HOST,
    FORWARDER,
    GATEWAY,
    NAMESPACE,
    NEIGHBOUR,
    QUIET,
    Sending,
    Site,
    record,
)
from tests.cluster.openstack import OpenStack, openstack_of
from tests.cluster.platform import eventing
from tests.cluster.probes import Outcome
from tests.cluster.product import Product, product_on
from tests.cluster.progress import say, step
from tests.cluster.recipes.ceph import CEPH
from tests.cluster.recipes.recipe import make_recipe
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.testbed import Testbed

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def openstack(cluster: Testbed) -> Iterator[OpenStack]:
    """A real Keystone, and a real Ceph as the object store."""
    with openstack_of(cluster, ceph_root=make_recipe(CEPH) / "root") as running:
        yield running


@pytest.fixture(scope="module")
def product(cluster: Testbed, openstack: OpenStack) -> Iterator[Product]:
    """The product in front of Ceph."""
    settings = {"OSFAAS_OBJECT_STORE": "rgw", "OSFAAS_TEMPURL_DIGEST": "sha1"}
    with product_on(cluster, openstack, settings=settings) as installed:
        yield installed


@pytest.fixture(scope="module")
def site(product: Product) -> Iterator[Site]:
    """What the page makes, from its first command to its last."""
    cluster = product.cluster
    folder = product.folder / "events"
    folder.mkdir()
    made = Site(product, folder)
    eventing.install_eventing(cluster)
    product.osfaas("tenant", "onboard", "alice-project", "--domain", "Default")
    with step("the page's commands"):
        made.follow_page()
    yield made
    for namespace in (NAMESPACE, NEIGHBOUR):
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    product.remove_tenant(made.tenant)


def letter_of(sink: DeadLetterSink, identity: str, seconds: float = 60) -> DeadLetter:
    """The dead letter of an event, when it is there."""

    def found() -> list[DeadLetter]:
        return [letter for letter in sink.letters() if letter.id == identity]

    wait_until("the dead letter", lambda: bool(found()), seconds=seconds)
    (letter,) = found()
    return letter


@pytest.fixture(scope="module")
def neighbour(site: Site) -> DeadLetterSink:
    """Another namespace, whose Triggers call the project's forwarder: one with dead letters, and one without."""
    kubectl = site.cluster.kubectl
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEIGHBOUR}})
    sink = DeadLetterSink(kubectl, NEIGHBOUR)
    sink.start()
    to_sink = {"deadLetterSink": {"ref": {"apiVersion": "v1", "kind": "Service", "name": sink.name}}}
    for name, delivery in (("with-sink", to_sink), ("without-sink", {"retry": 0})):
        place = {"name": name, "namespace": NEIGHBOUR}
        subscriber = {"uri": f"http://osfaas-events.{NAMESPACE}.svc.cluster.local/{secrets.token_hex(32)}"}
        trigger = {"broker": name, "subscriber": subscriber, "delivery": delivery}
        for kind, spec in (("Broker", {}), ("Trigger", trigger)):
            kubectl.apply({"apiVersion": "eventing.knative.dev/v1", "kind": kind, "metadata": place, "spec": spec})
        kubectl("wait", "-n", NEIGHBOUR, "--for=condition=Ready", f"broker/{name}", f"trigger/{name}", "--timeout=120s")
    return sink


def test_event_of_another_namespaces_trigger_is_rejected_and_stores_nothing(
    site: Site, neighbour: DeadLetterSink
) -> None:
    """To the network it looks like the project's own: it comes from the same pods. It does not have the secret."""
    data = b"not for the neighbour"
    site.put("theirs", data, QUIET)
    before = site.outcomes()
    status, identity = site.send(record("theirs"), broker=f"{NEIGHBOUR}/with-sink")
    assert status == 202
    assert letter_of(neighbour, identity).status == 401
    # Without a dead letter, the sender is told; Ceph would send it again.
    assert site.send(record("theirs"), broker=f"{NEIGHBOUR}/without-sink")[0] == 500
    assert site.outcomes() == before
    assert not site.has_digest("theirs", data, QUIET)
    # The same event by the project's own broker.
    assert site.send(record("theirs"))[0] == 202
    assert site.has_digest("theirs", data, QUIET)
    assert site.outcomes() - before == Counter(computed=1)


def test_pod_of_another_namespace_does_not_reach_the_forwarder(site: Site, neighbour: DeadLetterSink) -> None:
    """One in Knative's namespace does, and is not let in without the secret."""
    address = site.cluster.service_address(NAMESPACE, "osfaas-events")
    post = ("--request", "POST", "--header", "Content-Type: application/json", "--data", "{}")
    outsider = site.cluster.start_pod(NEIGHBOUR, "outsider")
    insider = site.cluster.start_pod(eventing.NAMESPACE, "insider")
    try:
        assert site.cluster.curl_from_pod(outsider, f"http://{address}/", *post).outcome is Outcome.TIMED_OUT
        for path in ("", secrets.token_hex(32)):
            assert site.cluster.curl_from_pod(insider, f"http://{address}/{path}", *post).status == 401
        assert site.cluster.curl_from_pod(insider, f"http://{address}/{site.secret()}", *post).status == 400
    finally:
        site.cluster.kubectl("delete", "pod", "insider", "-n", eventing.NAMESPACE, "--wait=false")


def test_tenants_function_does_not_reach_the_broker(site: Site) -> None:
    """The store, which it does reach, stands beside the way to the broker."""
    site.put("awake", b"awake", QUIET)
    assert site.send(record("awake"))[0] == 202
    store = urlsplit(site.product.openstack.inside.swift_url)
    broker = site.cluster.service_address(eventing.NAMESPACE, "broker-ingress")
    assert connects_from_function(site, str(store.hostname), store.port or 0)
    assert not connects_from_function(site, broker, 80)


def connects_from_function(site: Site, address: str, port: int) -> bool:
    """Whether the tenant's function gets a TCP connection; anything but a timeout is an error."""
    namespace = site.tenant
    pod = site.product.pods(namespace)[0]["metadata"]["name"]
    program = f"""
import socket
try:
    socket.create_connection(({address!r}, {port}), 4)
    print("connected")
except TimeoutError:
    print("timed out")
"""
    words = ("exec", "-n", namespace, pod, "-c", "function", "--", "python3", "-c", program)
    return {"connected\n": True, "timed out\n": False}[site.cluster.kubectl(*words)]


def test_broker_is_published_under_one_path_only(site: Site) -> None:
    """Neither the broker's own path nor a neighbour's leads to a broker from outside."""
    for path in ("", f"{NAMESPACE}/osfaas-objects", f"{NEIGHBOUR}/with-sink", secrets.token_hex(32)):
        words = ("--insecure", "--http1.1", "--request", "POST")
        assert site.cluster.curl_from_openstack(f"https://{EVENTS_HOST}/{path}", *words).status == 404, path


def test_record_without_an_envelope_is_rejected_by_the_broker(site: Site) -> None:
    """As Ceph 16 sends it, which does not know `cloudevents=true`."""
    assert site.send(record("bare"), enveloped=False)[0] == 400


def test_written_object_gets_its_digest_once_and_starts_no_loop(site: Site) -> None:
    """Names as users give them; Ceph puts them into a header field of the event as they are."""
    names = ["plain", "run 7/ü+%41.root", "a/b//c", "100%", "日本"]
    contents = {name: f"content of {name}".encode() for name in names}
    before = site.outcomes()
    begun = time.monotonic()
    for name, data in contents.items():
        site.put(name, data)
    site.wait_for_digests(contents)
    say(f"{len(names)} objects, the last digest after {time.monotonic() - begun:.1f} s")
    changed = {name: site.head(name)["last-modified"] for name in names}
    # An event that the digest's own write sent would be on its way now.
    time.sleep(scaled(10))
    assert site.outcomes() - before == Counter(computed=len(names))
    assert {name: site.head(name)["last-modified"] for name in names} == changed
    assert {site.head(name)["x-object-meta-colour"] for name in names} == {"blue"}
    assert site.dead_letters.letters() == []


@pytest.mark.parametrize("away", [FORWARDER, GATEWAY], ids=["forwarder", "gateway"])
def test_broker_delivers_again_what_it_got_while_a_part_was_away(site: Site, away: tuple[str, ...]) -> None:
    """One request of the sender: it is the broker that tries again."""
    name = f"while {away[-1]} was away"
    data = name.encode()
    site.put(name, data, QUIET)
    with site.away(*away):
        sending = Sending(site, record(name))
        time.sleep(scaled(5))
        assert sending.is_open
        assert not site.has_digest(name, data, QUIET)
    site.here(*away)
    status, identity = sending.result()
    assert status == 202
    assert site.has_digest(name, data, QUIET)
    assert identity not in {letter.id for letter in site.dead_letters.letters()}


def test_ceph_keeps_its_events_while_there_is_no_broker(site: Site) -> None:
    """Its topic is persistent."""
    ingress = ("-n", eventing.NAMESPACE, "deployment/mt-broker-ingress")
    contents = {f"kept {number}": f"kept {number}".encode() for number in range(5)}
    kubectl = site.cluster.kubectl
    kubectl("scale", *ingress, "--replicas=0")
    try:
        kubectl("wait", "--for=delete", "pod", *ingress[:2], "-l", "eventing.knative.dev/brokerRole=ingress")
        for name, data in contents.items():
            site.put(name, data)
        time.sleep(scaled(5))
        assert not any(site.has_digest(name, data) for name, data in contents.items())
    finally:
        kubectl("scale", *ingress, "--replicas=1")
    site.wait_for_digests(contents)


def test_event_that_cannot_succeed_is_a_dead_letter_at_once(site: Site) -> None:
    """The gateway's 400 is not delivered again. The letter has what the page says, the secret included."""
    status, identity = site.send(b'{"Records": [{"s3": 1}]}')
    assert status == 202
    letter = letter_of(site.dead_letters, identity)
    assert letter.status == 400
    assert letter.body == '{"Records": [{"s3": 1}]}'
    assert "errors" in json.loads(letter.error)
    assert letter.attributes["ce-knativeerrordest"].endswith(f"/{site.secret()}")


def test_event_that_fails_at_each_delivery_is_a_dead_letter(site: Site) -> None:
    """With two more deliveries instead of eight, which take eight minutes."""
    kubectl = site.cluster.kubectl
    trigger = ("trigger", "osfaas-checksums", "-n", NAMESPACE)

    def deliver_again(times: int) -> None:
        kubectl("patch", *trigger, "--type", "merge", "-p", json.dumps({"spec": {"delivery": {"retry": times}}}))
        label = "eventing.knative.dev/trigger=osfaas-checksums"
        wait_until(
            "the subscription",
            lambda: _retries(kubectl.get("subscriptions.messaging.knative.dev", "-n", NAMESPACE, "-l", label)) == times,
            seconds=30,
        )
        # The channel's dispatcher hears of it a moment later.
        time.sleep(scaled(3))

    deliver_again(2)
    try:
        with site.away(*GATEWAY):
            status, identity = site.send(record("never"))
            assert status == 202
            assert letter_of(site.dead_letters, identity).status == 503
    finally:
        deliver_again(8)
    site.here(*GATEWAY)


def test_page_applied_again_keeps_the_secret(site: Site) -> None:
    """`kubectl apply -k` leaves alone what the overlay does not name."""
    before = site.secret()
    site.type(f"kubectl apply -k {NAMESPACE}")
    assert site.secret() == before


def _retries(subscriptions: dict[str, Any]) -> int:
    (subscription,) = subscriptions["items"]
    return int(subscription["spec"]["delivery"]["retry"])
