"""The targets of attacks as plain values, so that the list of attacks is a pure function of them."""

from dataclasses import dataclass

from policies.model import Platform, TenantSpec
from policies.names import NamespaceName, function_host

# knative.dev/serving pkg/networking/constants.go: HTTP/1, h2c and HTTPS of activator and queue-proxy; the queue-proxy's
# unauthenticated drain; metrics of autoscaler and user; and the port of the user's container.
FUNCTION_PORTS = {
    8012: "http1",
    8013: "h2c",
    8112: "https",
    8022: "drain",
    9090: "metrics",
    9091: "user",
    8080: "user",
    # Of Istio's proxy, where there is one. It asks for no certificate.
    15020: "probes and drain",
}
# A port of which Knative knows nothing.
OWN_PORT = 6060


@dataclass(frozen=True, slots=True)
class PlatformPod:
    """A pod of the platform.

    Attributes:
        ready: whether its readiness probe succeeds, so that its port is open.
    """

    address: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Victim:
    """The tenant that is attacked.

    Attributes:
        decoy: address of a pod in its namespace that listens on every port of a function pod.
        word: the decoy's answer; if the attacker sees it, the decoy was reached.
    """

    namespace: NamespaceName
    function: str
    decoy: str
    word: str

    @property
    def host(self) -> str:
        return function_host(self.function, self.namespace)

    @property
    def revision(self) -> str:
        return f"{self.function}-00001"


@dataclass(frozen=True, slots=True)
class Targets:
    """Addresses of the platform and of its surroundings.

    Attributes:
        local_gateway: ClusterIP of Knative's local gateway.
        api: ClusterIP of the Kubernetes API.
        node: the address of a node, for its kubelet.
        kernels: releases of the kernels of all nodes.
        own_gateway: a pod of the product's gateway; None: it does not run in this cluster, and is not attacked.
        keystone: host and port of Keystone, if given; it is not attacked otherwise.
        store: host and port of the object store, which functions may reach; without it nothing outside can be proved.
        registries: hosts and ports of what builds may reach, and functions may not.
    """

    local_gateway: str
    gateway: PlatformPod
    activator: PlatformPod
    autoscaler: PlatformPod
    webhook: PlatformPod
    istiod: PlatformPod
    api: str
    node: str
    kernels: tuple[str, ...]
    keystone: tuple[str, int] | None
    store: tuple[str, int] | None
    own_gateway: PlatformPod | None = None
    registries: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The input of the list of attacks."""

    tenant: TenantSpec
    platform: Platform
    victim: Victim
    targets: Targets
