"""Attacks that code of a tenant's own makes possible, beside those that any pod of the platform could try. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from policies.model import IsolationLevel
from tenancy.isolation.attack import Assumed, Attack, BuildProbe, Connect, Flood, Request, Tasks, VictimProbe
from tenancy.isolation.network_attacks import http, network_attacks
from tenancy.isolation.targets import OWN_PORT, Context
from tenancy.isolation.tenant_user_attacks import harmless

# More than a shared proxy accepts at its usual limits, and less than one pod's ports and files allow.
_CONNECTIONS = 10_000
# More than a function needs, and less than the limits that Kubernetes' documentation shows (`podPidsLimit: 1024`, of
# which the pod's other containers have some).
_TASKS = 1_100
_GATEWAY_PORT = 8788


def own_code_attacks(context: Context) -> Iterator[Attack]:
    """Every attack of own code."""
    yield from _over_the_network(context)
    if context.platform.builds is not None:
        yield from _of_a_build(context)
    yield from _on_the_node(context)
    yield from _on_other_functions(context)


def _over_the_network(context: Context) -> Iterator[Attack]:
    victim, targets, level = context.victim, context.targets, IsolationLevel.L2
    attempt = Connect(victim.decoy, OWN_PORT, http(victim.decoy))
    yield Attack(
        "own-sidecar-port",
        f"an image that listens at further ports offers them to others ({OWN_PORT} stands for any)",
        level,
        attempt,
        VictimProbe(attempt),
    )
    ready = Assumed(
        f"the kubelet's own probes reach the gateway pod at {targets.gateway.address}", targets.gateway.ready
    )
    yield Attack(
        "connection-flood",
        "open connections to what all tenants share use it up",
        level,
        Flood(host=targets.local_gateway, port=80, count=_CONNECTIONS),
        ready,
    )
    if targets.own_gateway is not None:
        address = targets.own_gateway.address
        forged = {"X_Identity_Status": "Confirmed", "X_Project_Id": victim.namespace, "X_Roles": "admin"}
        yield Attack(
            "identity-headers",
            "own code that reaches the gateway inside the cluster sends the fields by which middleware names a caller",
            level,
            Connect(address, _GATEWAY_PORT, http(address, "/v1/limits", **forged)),
            Assumed(f"the kubelet's own probes reach the gateway at {address}", targets.own_gateway.ready),
        )


def _of_a_build(context: Context) -> Iterator[Attack]:
    """A build runs code of packages: it has every way that a function has, and one way out of its own."""
    for attack in network_attacks(context):
        if isinstance(attack.attempt, Connect):
            summary = f"from a build, which may run code of packages: {attack.summary}"
            yield replace(attack, name=f"build-{attack.name}", summary=summary, attempt=BuildProbe(attack.attempt))
    store = context.targets.store
    if store is not None:
        attempt = Connect(*store, http(store[0]))
        summary = "a build takes code or data to the object store, which is a destination of functions only"
        yield Attack("build-object-store", summary, IsolationLevel.L2, BuildProbe(attempt), attempt)
    for number, (host, port) in enumerate(context.targets.registries, 1):
        attempt = Connect(host, port, http(host, "/v2/"))
        summary = "a function uses the way to the registry and the package index that is open to builds"
        yield Attack(f"registry-{number}", summary, IsolationLevel.L2, attempt, BuildProbe(attempt))


def _on_the_node(context: Context) -> Iterator[Attack]:
    yield Attack(
        "fork-bomb",
        "processes of one pod use up the node's process ids (the kubelet's podPidsLimit)",
        IsolationLevel.L1,
        Tasks(_TASKS, context.targets.kernels),
        Tasks(8),
    )


def _on_other_functions(context: Context) -> Iterator[Attack]:
    namespace, level = context.tenant.namespace, IsolationLevel.L1
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "osfaas-verify", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    yield Attack(
        "shared-volume",
        "a volume that outlives a pod and that several mount carries code from one function to another",
        level,
        Request(
            "POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim, ("exceeded quota", " cannot ")
        ),
        harmless(context),
    )
    yield Attack(
        "foreign-secret",
        "the secrets of another tenant's functions are objects of the Kubernetes API",
        level,
        Request("GET", f"/api/v1/namespaces/{context.victim.namespace}/secrets", {}, (" cannot ",)),
        Request("GET", f"/api/v1/namespaces/{namespace}/secrets", {}),
    )
