"""Who reaches whom, as a judge of NetworkPolicies reads ours: tenants, the platform's parts, strangers, the world."""

from pathlib import Path

import pytest

from policies.mesh import MESHED_POD
from policies.model import IsolationLevel, Manifest, TenantSpec
from policies.platform import platform_manifests
from policies.tenant import tenant_manifests
from tests.cluster.verdicts import Connection, Place, verdicts
from tests.unit.policies.examples import MESHED, OTHER, PLATFORM, SANDBOXED, SPEC, at

# The build of the judge, once, where Go's module cache is empty.
pytestmark = pytest.mark.timeout(900)

KNATIVE_PORTS = (8008, 8012, 8013, 8022, 8080, 8112, 9090, 9091)


def tenant_pod(name: str, spec: TenantSpec) -> Place:
    pod = (("serving.knative.dev/service", "checksums"), ("osfaas.dev/tenant", spec.namespace))
    return Place(name, spec.namespace, pod, (("osfaas.dev/tenant", spec.namespace),))


def part(name: str, namespace: str, **labels: str) -> Place:
    return Place(name, namespace, tuple((key.replace("__", "/"), value) for key, value in labels.items()))


OURS = tenant_pod("our pod", SPEC)
OUR_MESHED_POD = Place(
    "our pod with a sidecar", OURS.namespace, (*OURS.pod_labels, *MESHED_POD.items()), OURS.namespace_labels
)
OUR_OTHER_POD = Place("our other pod", SPEC.namespace, (("x", "y"),), (("osfaas.dev/tenant", SPEC.namespace),))
THEIRS = tenant_pod("other tenant", OTHER)
DISGUISED = Place(
    "other tenant in the gateway's labels",
    OTHER.namespace,
    (("app.kubernetes.io/name", "osfaas-gateway"), ("istio", "ingressgateway"), ("app", "activator")),
    (("osfaas.dev/tenant", OTHER.namespace),),
)
STRANGER = part("stranger", "default", app="nobody")
INGRESS = part("ingress", "istio-system", istio="ingressgateway", app="istio-ingressgateway")
ISTIOD = part("istiod", "istio-system", istio="pilot", app="istiod")
ACTIVATOR = part("activator", "knative-serving", app="activator")
AUTOSCALER = part("autoscaler", "knative-serving", app="autoscaler")
CONTROLLER = part("knative's controller", "knative-serving", app="controller")
WEBHOOK = part("webhook", "knative-serving", app="webhook")
NET_ISTIO = part("net-istio", "knative-serving", app="net-istio-controller")
GATEWAY = Place("our gateway", "osfaas-system", (("app.kubernetes.io/name", "osfaas-gateway"),))
OTHER_SYSTEM = Place("another pod of our system", "osfaas-system", (("app.kubernetes.io/name", "osfaas-controller"),))
DNS = Place("DNS", "kube-system", (("k8s-app", "kube-dns"),))
OTHER_DNS = part("neighbour of DNS", "kube-system", app="metrics")
STORE = Place("object store", address="192.0.2.10")
KEYSTONE = Place("Keystone beside it", address="192.0.2.11")
METADATA = Place("metadata address", address="169.254.169.254")
API_SERVER = Place("API server", address="10.96.0.1")
WORLD = Place("the world", address="8.8.8.8")

WHOLE = (*platform_manifests(PLATFORM), *tenant_manifests(SPEC, PLATFORM), *tenant_manifests(OTHER, PLATFORM))


def to(source: Place, target: Place, *ports: int) -> list[Connection]:
    return [Connection(source, target, port) for port in ports]


CLOSED = [
    *[way for who in (THEIRS, DISGUISED, STRANGER, WORLD, GATEWAY) for way in to(who, OURS, *KNATIVE_PORTS)],
    *[way for who in (CONTROLLER, OTHER_SYSTEM, ISTIOD, OUR_OTHER_POD) for way in to(who, OURS, *KNATIVE_PORTS)],
    *to(INGRESS, OURS, 8008, 8022, 8080, 9090, 9091),
    *to(ACTIVATOR, OURS, 8008, 8022, 8080, 9090, 9091),
    *to(AUTOSCALER, OURS, 8008, 8022, 8080, 9091),
    *[way for who in (OURS, STRANGER, GATEWAY, WORLD, CONTROLLER) for way in to(who, ACTIVATOR, *KNATIVE_PORTS)],
    *to(DISGUISED, ACTIVATOR, *KNATIVE_PORTS),
    *[way for who in (OURS, STRANGER, GATEWAY, WORLD, INGRESS) for way in to(who, AUTOSCALER, 8008, 8080, 9090)],
    *[way for who in (OURS, DISGUISED, STRANGER, WORLD, OTHER_SYSTEM) for way in to(who, INGRESS, 8081, 15000, 15020)],
    *[way for who in (OURS, DISGUISED) for way in to(who, INGRESS, 80, 443, 8080, 8443, 15021)],
    *[way for who in (OURS, STRANGER, GATEWAY, INGRESS, WORLD) for way in to(who, ISTIOD, 8080, 15010, 15014)],
    *[way for who in (OURS, DISGUISED) for way in to(who, ISTIOD, 15012, 15017)],
    *[way for who in (OURS, DISGUISED) for way in to(who, WEBHOOK, 8443)],
    *[way for who in (KEYSTONE, API_SERVER, METADATA, WORLD) for way in to(OURS, who, 53, 80, 443, 5000, 8080)],
    *to(OURS, STORE, 80, 5000),
    *to(OURS, OTHER_DNS, 53),
    *to(OURS, DNS, 80, 8181, 9153),
]
OPEN = [
    *to(INGRESS, OURS, 8012, 8013, 8112),
    *to(ACTIVATOR, OURS, 8012, 8013, 8112),
    *to(AUTOSCALER, OURS, 8012, 8013, 9090),
    *to(INGRESS, ACTIVATOR, 8012, 8013, 8112),
    *to(AUTOSCALER, ACTIVATOR, 8012, 8013),
    *to(ACTIVATOR, AUTOSCALER, 8080),
    *to(AUTOSCALER, AUTOSCALER, 8080),
    *to(GATEWAY, INGRESS, 8081),
    *to(NET_ISTIO, INGRESS, 80, 443, 8081),
    *to(WORLD, INGRESS, 80, 443, 8080, 8443, 15021),
    *to(API_SERVER, WEBHOOK, 8443),
    *to(API_SERVER, ISTIOD, 15017),
    *to(INGRESS, ISTIOD, 15012),
    *to(OURS, STORE, 8080, 443),
    *to(OURS, DNS, 53),
    Connection(OURS, DNS, 53, "UDP"),
]


def wrong(manifests: tuple[Manifest, ...], connections: list[Connection], scratch: Path, *, allowed: bool) -> list[str]:
    found = verdicts(manifests, connections, scratch)
    return [str(way) for way, verdict in zip(connections, found, strict=True) if verdict is not allowed]


def test_every_other_way_is_closed(tmp_path: Path) -> None:
    """Other tenants, strangers and the world; ports past queue-proxy; the way out; disguises of labels."""
    assert wrong(WHOLE, CLOSED, tmp_path, allowed=False) == []


def test_every_needed_way_is_open(tmp_path: Path) -> None:
    """A blocked one would be a function that never wakes, sleeps or becomes Ready."""
    assert wrong(WHOLE, OPEN, tmp_path, allowed=True) == []


def test_without_policies_every_way_is_open(tmp_path: Path) -> None:
    """The judge sees what the policies do: without them it lets all of the closed ways through."""
    assert wrong((), CLOSED, tmp_path, allowed=True) == []


@pytest.mark.parametrize(
    ("left_out", "way"),
    [
        ("osfaas-activator osfaas-deny-all osfaas-webhooks", Connection(STRANGER, ACTIVATOR, 8012)),
        ("osfaas-autoscaler osfaas-deny-all osfaas-webhooks", Connection(STRANGER, AUTOSCALER, 8080)),
        ("osfaas-ingress", Connection(STRANGER, INGRESS, 8081)),
        ("osfaas-istiod", Connection(STRANGER, ISTIOD, 15010)),
        ("osfaas-deny-all osfaas-calls osfaas-metrics", Connection(STRANGER, OURS, 8012)),
        ("osfaas-deny-all osfaas-out", Connection(OURS, KEYSTONE, 5000)),
    ],
)
def test_each_defence_is_what_closes_its_way(left_out: str, way: Connection, tmp_path: Path) -> None:
    """With the named policies gone, the way that they close is open. Any policy on a pod closes what none opens."""
    rest = tuple(manifest for manifest in WHOLE if manifest["metadata"]["name"] not in left_out.split())
    assert wrong(WHOLE, [way], tmp_path, allowed=False) == []
    assert wrong(rest, [way], tmp_path, allowed=True) == []


@pytest.mark.parametrize("level", IsolationLevel)
def test_a_suspended_tenants_pods_reach_nobody_and_are_reached_by_nobody(level: IsolationLevel, tmp_path: Path) -> None:
    """At every level, in the time that they have to end."""
    suspended = at(level, suspended="taken over")
    manifests = (*platform_manifests(SANDBOXED), *tenant_manifests(suspended, SANDBOXED))
    into = [way for who in (INGRESS, ACTIVATOR, AUTOSCALER) for way in to(who, OURS, 8012, 8013, 8112, 9090)]
    out = [*to(OURS, STORE, 8080, 443), *to(OURS, DNS, 53), Connection(OURS, DNS, 53, "UDP"), *to(OURS, WORLD, 443)]
    assert wrong(manifests, [*into, *out], tmp_path, allowed=False) == []


def test_level_one_leaves_the_network_open_but_for_the_platforms_own(tmp_path: Path) -> None:
    """What L2 adds: below it a neighbour reaches the pods, and never the activator."""
    manifests = (*platform_manifests(PLATFORM), *tenant_manifests(at(IsolationLevel.L1), PLATFORM))
    assert wrong(manifests, to(STRANGER, OURS, 8012), tmp_path, allowed=True) == []
    assert wrong(manifests, to(OURS, ACTIVATOR, 8012), tmp_path, allowed=False) == []


def test_sidecars_reach_istiod_by_its_authenticated_port_alone(tmp_path: Path) -> None:
    """15012 is mutual TLS with a token; 15010 is its plain twin. Pods without a sidecar reach neither."""
    manifests = (*platform_manifests(MESHED), *tenant_manifests(SPEC, MESHED))
    closed = [*to(OUR_MESHED_POD, ISTIOD, 15010, 15014, 8080), *to(OURS, ISTIOD, 15012, 15010)]
    assert wrong(manifests, closed, tmp_path, allowed=False) == []
    assert wrong(manifests, to(OUR_MESHED_POD, ISTIOD, 15012), tmp_path, allowed=True) == []
    # Either side alone is enough.
    for alone in (platform_manifests(MESHED), tenant_manifests(SPEC, MESHED)):
        assert wrong(alone, to(OURS, ISTIOD, 15012), tmp_path, allowed=False) == []
