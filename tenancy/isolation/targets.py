"""What there is to attack, as `survey` found it: plain values, so that the list of attacks is a function of them."""

from dataclasses import dataclass

from policies.model import Platform, TenantSpec
from policies.names import NamespaceName, function_host

# knative.dev/serving pkg/networking/constants.go: HTTP/1, h2c and HTTPS of activator and queue-proxy; the queue-proxy's
# unauthenticated drain; metrics of autoscaler and user; and the port of the user's container.
FUNCTION_PORTS = {8012: "http1", 8013: "h2c", 8112: "https", 8022: "drain", 9090: "metrics", 9091: "user", 8080: "user"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod of the platform.

    Attributes:
        ready: whether its own readiness probe, asked by the kubelet, succeeds: somebody listens there.
    """

    address: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Victim:
    """The other tenant.

    Attributes:
        decoy: address of a pod in its namespace that listens on every port of a function pod.
        word: what the decoy says; seen by the attacker, it proves where the answer came from.
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
    """Addresses.

    Attributes:
        local_gateway: ClusterIP of Knative's local gateway.
        api: ClusterIP of the Kubernetes API.
        node: the address of a node, for its kubelet.
        keystone: host and port of OpenStack's identity service, if it was told; it is not attacked otherwise.
        store: host and port of the object store, where a function may go; without it nothing outside can be proved.
    """

    local_gateway: str
    gateway: Endpoint
    activator: Endpoint
    autoscaler: Endpoint
    webhook: Endpoint
    istiod: Endpoint
    api: str
    node: str
    keystone: tuple[str, int] | None
    store: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the list of attacks is made from."""

    tenant: TenantSpec
    platform: Platform
    victim: Victim
    targets: Targets
