"""Attacks over the network: connections that a function could open. Pure.

All of them are refused from L2 on. An accepted connection is a breach whatever the response, because the promise is
that there is no route; only at the local gateway does Envoy's own refusal (level L3) count as a refusal too.
"""

from collections.abc import Iterator

from policies.model import IsolationLevel
from tenancy.isolation.attack import Assumed, Attack, Connect, Control, Probe, VictimProbe
from tenancy.isolation.targets import FUNCTION_PORTS, Context, PlatformPod

_METADATA = "169.254.169.254"
_ENVOY_DENIAL = "RBAC: access denied"
_ISTIOD_PORTS = (15010, 15012, 15017, 8080)
_L2 = IsolationLevel.L2


def network_attacks(context: Context) -> Iterator[Attack]:
    """Every attack that only needs a connection from the tenant's pod."""
    yield from _local_gateway(context)
    yield from _activator(context)
    yield from _victim_pods(context)
    yield from _control_planes(context)
    yield from _outside(context)


def http(host: str, path: str = "/", method: str = "GET", **headers: str) -> str:
    """An HTTP/1.1 request without a body; underscores in header names stand for dashes."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n"


def _attack(name: str, summary: str, attempt: Probe, control: Control) -> Attack:
    return Attack(name, summary, _L2, attempt, control)


def _ready(pod: PlatformPod, name: str) -> Assumed:
    return Assumed(f"the kubelet's own probes reach {name} at {pod.address}", pod.ready)


def _local_gateway(context: Context) -> Iterator[Attack]:
    targets, request = context.targets, http(context.victim.host)
    ready = _ready(targets.gateway, "the gateway pod")
    yield _attack(
        "local-gateway-by-cluster-ip",
        "the local gateway is shared: the Host of another tenant's function crosses tenants",
        Connect(targets.local_gateway, 80, request, _ENVOY_DENIAL),
        ready,
    )
    for port, what in ((8081, "bypassing the Service"), (80, "at their public port")):
        yield _attack(
            f"local-gateway-by-pod-ip-{port}",
            f"the same gateway pods, {what}",
            Connect(targets.gateway.address, port, request, _ENVOY_DENIAL),
            ready,
        )


def _activator(context: Context) -> Iterator[Attack]:
    victim, activator = context.victim, context.targets.activator
    forged = {"Knative_Serving_Namespace": victim.namespace, "Knative_Serving_Revision": victim.revision}
    for port in (8012, 8013):
        yield _attack(
            f"activator-forged-headers-{port}",
            "the activator is a confused deputy: it routes by Knative-Serving-Namespace and -Revision as sent",
            Connect(activator.address, port, http(victim.host, **forged)),
            _ready(activator, "the activator"),
        )
    yield _attack(
        "activator-by-host",
        "without these headers the activator routes by Host",
        Connect(activator.address, 8012, http(victim.host)),
        _ready(activator, "the activator"),
    )


def _victim_pods(context: Context) -> Iterator[Attack]:
    address = context.victim.decoy
    for port, what in FUNCTION_PORTS.items():
        path = "/wait-for-drain" if port == 8022 else "/"  # noqa: PLR2004
        attempt = Connect(address, port, http(address, path))
        summary = f"another tenant's pod, directly at port {port} ({what})"
        yield _attack(f"pod-ip-{port}", summary, attempt, VictimProbe(attempt))


def _control_planes(context: Context) -> Iterator[Attack]:
    targets = context.targets
    yield _attack(
        "autoscaler",
        "the autoscaler accepts metrics from any client on 8080",
        Connect(targets.autoscaler.address, 8080, http("autoscaler")),
        _ready(targets.autoscaler, "the autoscaler"),
    )
    yield _attack(
        "knative-webhook",
        "Knative's admission webhook is for the API server alone",
        Connect(targets.webhook.address, 8443),
        _ready(targets.webhook, "Knative's webhook"),
    )
    for port in _ISTIOD_PORTS:
        yield _attack(
            f"istiod-{port}",
            "istiod serves the mesh's configuration (15010 without authentication) and signs certificates",
            Connect(targets.istiod.address, port, http("istiod", "/debug/configz")),
            _ready(targets.istiod, "istiod"),
        )
    yield _attack(
        "kubernetes-api",
        "the Kubernetes API, even without a token",
        Connect(targets.api, 443),
        Assumed("this command itself uses the Kubernetes API", holds=True),
    )
    yield _attack(
        "kubelet",
        "the kubelet of the node: exec and logs of every pod for trusted clients; also the node's own address",
        Connect(targets.node, 10250),
        Assumed(f"the node {targets.node} is Ready: its kubelet runs", holds=bool(targets.node)),
    )


def _outside(context: Context) -> Iterator[Attack]:
    targets, store = context.targets, context.targets.store
    store_reached: Control = Assumed("no object store is given (--store HOST:PORT)", holds=False)
    if store:
        store_reached = Connect(store[0], store[1], http(store[0]))
    yield _attack(
        "metadata-address",
        "the cloud's metadata service returns credentials of the node",
        Connect(_METADATA, 80, http(_METADATA, "/openstack/latest/meta_data.json")),
        store_reached,
    )
    if targets.keystone:
        host, port = targets.keystone
        yield _attack(
            "keystone",
            "a function that obtains a token or a password could use it at Keystone",
            Connect(host, port, http(host, "/v3")),
            store_reached,
        )
