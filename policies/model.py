"""Input of the builders: the specification of a tenant, and the platform on which it runs.

These values flow one way: the record of a tenant (`tenancy.model.record`) and the platform file
(`tenancy.platform.platform_file`) become a `TenantSpec` and a `Platform`, from which the builders make manifests.
Nothing here depends on their origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from policies.names import NamespaceName, ProjectId, namespace_of

# A Kubernetes object as JSON: apiVersion, kind, metadata, ...
Manifest = dict[str, Any]

MIB = 1024 * 1024

# Values of a rate in `Limits` that are no rates. A record can only say the first.
UNLIMITED_RATE, NO_RATE = 0, -1


class IsolationLevel(Enum):
    """The levels of `docs/explanation/isolation-levels.md`; each contains the ones below it."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"
    L5 = "L5"

    def __ge__(self, other: "IsolationLevel") -> bool:
        return self.value >= other.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a project: source of its namespace's quota and of the gateway's limits.

    Attributes:
        pods: maximum number of function pods, over all functions.
        cpu_millis: CPU of all function pods together, in thousandths of a core.
        memory_mib: memory of all function pods together, in MiB.
        concurrent_calls: maximum number of concurrent calls in the gateway.
        requests_per_second: maximum number of calls per second, averaged; or UNLIMITED_RATE, NO_RATE.
        bytes_per_second: maximum number of object bytes read per second, averaged; or UNLIMITED_RATE, NO_RATE.
        own_functions: maximum number of functions of its own, each a `Function` object; the catalogue's do not count.
    """

    pods: int = 10
    cpu_millis: int = 4000
    memory_mib: int = 4096
    concurrent_calls: int = 32
    requests_per_second: int = 50
    bytes_per_second: int = 0
    own_functions: int = 10


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """The specification of a tenant by the administrator.

    Attributes:
        project_id: the Keystone project; the tenant's objects are named after it.
        display_name: human-readable; never an identity.
        isolation: the isolation level.
        limits: see `Limits`.
        functions: names of its functions in the platform's catalogue.
        suspended: why it is suspended, or None. A suspended tenant keeps its namespace and runs nothing.
    """

    project_id: ProjectId
    display_name: str = ""
    isolation: IsolationLevel = IsolationLevel.L3
    limits: Limits = field(default_factory=Limits)
    functions: tuple[str, ...] = ("checksums",)
    suspended: str | None = None

    @property
    def namespace(self) -> NamespaceName:
        return namespace_of(self.project_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFunction:
    """A function that the operator offers.

    Attributes:
        image: reference of the container image; by digest in production.
        port: where it listens ($PORT is set by Knative).
        health_path: of the readiness probe.
        cpu_millis, memory_mib: request and limit of one pod's function container.
        concurrency: concurrent calls per pod (Knative's containerConcurrency).
        timeout_seconds: maximum duration of a call; the gateway's own limit must not be shorter.
        max_scale: maximum number of pods per tenant, capped by the tenant's `Limits.pods`.
        window_seconds: idle time before it scales to zero; None: the cluster's default.
        environment: variables of the container.
        callable: whether /v1/invoke may call it. Checksums have their own routes, which decide what the function reads.
    """

    name: str
    image: str
    port: int = 8080
    health_path: str = "/healthz"
    cpu_millis: int = 500
    memory_mib: int = 384
    concurrency: int = 8
    timeout_seconds: int = 1_800
    max_scale: int = 5
    window_seconds: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    callable: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination that functions may connect to besides DNS: an address block (CIDR) and its TCP ports."""

    cidr: str
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """What functions are built with from their source, and where builds may connect to.

    Attributes:
        image: of the builder; by digest in production.
        registry: host and port of the registry, as in names of images.
        registry_url: its URL for builds and for `/v1/functions`.
        token_url: URL of its token endpoint.
        index_url: index of packages.
        bases: base image of each runtime, as repository@digest in the registry.
        destinations: of builds, besides DNS: the registry, its token endpoint, the index.
        source_distributions: whether packages without a wheel are built, which runs their code.
        cpu_millis, memory_mib: request and limit of one build. They count against the project's quota.
        disk_mib: maximum size of archive, code, packages and layers together.
        deadline_seconds: maximum duration of a build with all its attempts.
        per_project: maximum number of concurrent builds of a project.
        archive_max_bytes: maximum size of an archive.
    """

    image: str
    registry: str
    registry_url: str
    token_url: str
    index_url: str
    bases: Mapping[str, str]
    destinations: tuple[Destination, ...]
    source_distributions: bool = False
    cpu_millis: int = 1000
    memory_mib: int = 768
    disk_mib: int = 2048
    deadline_seconds: int = 900
    per_project: int = 2
    archive_max_bytes: int = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The cluster as the operator set it up.

    Attributes:
        system_namespace: of the gateway and the controller.
        knative_namespace, istio_namespace: of Knative Serving, and of Istio's control plane and gateways.
        dns_namespace, dns_labels, dns_ports: the pods that answer DNS.
        ingress_labels: of the gateway pods (Envoy) that carry Knative's local gateway.
        gateway_labels: of our own gateway's pods.
        local_gateway_url: base URL of all calls to functions, which are distinguished by Host.
        destinations: destinations of functions: the object store.
        functions: the catalogue, by name.
        queue_proxy_cpu_millis: request of Knative's sidecar in each pod.
        queue_proxy_cpu_limit_millis: its limit. A limit close to its idle use makes each cold start seconds slower.
        queue_proxy_memory_mib: its request and limit.
        sidecar_cpu_millis, sidecar_cpu_limit_millis, sidecar_memory_mib: the same of Istio's proxy, where a pod has it.
        further_services: quota of Knative Services in a tenant's namespace in addition to those of the catalogue and
            of `Function` objects.
        own_function_images: registries and repositories, without a scheme, whose images tenants may run as functions
            of their own: `registry.example.org`, `registry.example.org/atlas`. Empty: none, so there are no such
            functions.
        builds: how functions are built from source; None: they are not.
        sandbox_runtime_class: RuntimeClass of the sandbox (gVisor, Kata): from level L4 on, and for tenants' own code
            at every level; None: the cluster has none, and L4 is refused.
        sandbox_own_functions: whether tenants' own functions and their builds run in the sandbox below L4 as well.
        sandbox_user_namespaces: whether the sandbox's runtime supports `hostUsers: false`; without it
            (gVisor, Kata) the kubelet refuses such pods, and the guest's own kernel isolates them instead.
        node_pool_label: label key whose value is the tenant's namespace on the nodes of an L5 tenant. The same key
            and value are the taint of those nodes.
        sidecars: whether Istio's proxy is in the pods of tenants from L3 on (mutual TLS, callers by SPIFFE identity),
            and in Knative's activator and autoscaler, or their calls would be refused. Pods in the sandbox have none.
        controller_account: service account of our controller in `system_namespace`.
        functions_api_account: service account of `/v1/functions` there.
        admin_groups: groups of users that are exempt from the admission policies.
    """

    functions: Mapping[str, CatalogueFunction]
    destinations: tuple[Destination, ...] = ()
    system_namespace: str = "osfaas-system"
    knative_namespace: str = "knative-serving"
    istio_namespace: str = "istio-system"
    dns_namespace: str = "kube-system"
    dns_labels: Mapping[str, str] = field(default_factory=lambda: {"k8s-app": "kube-dns"})
    dns_ports: tuple[int, ...] = (53,)
    ingress_labels: Mapping[str, str] = field(default_factory=lambda: {"istio": "ingressgateway"})
    gateway_labels: Mapping[str, str] = field(default_factory=lambda: {"app.kubernetes.io/name": "osfaas-gateway"})
    local_gateway_url: str = "http://knative-local-gateway.istio-system.svc.cluster.local"
    queue_proxy_cpu_millis: int = 50
    queue_proxy_cpu_limit_millis: int = 500
    queue_proxy_memory_mib: int = 128
    sidecar_cpu_millis: int = 50
    sidecar_cpu_limit_millis: int = 1000
    sidecar_memory_mib: int = 192
    further_services: int = 5
    own_function_images: tuple[str, ...] = ()
    builds: Builds | None = None
    sandbox_runtime_class: str | None = None
    sandbox_own_functions: bool = True
    sandbox_user_namespaces: bool = False
    node_pool_label: str = "osfaas.dev/tenant"
    sidecars: bool = False
    controller_account: str = "osfaas-controller"
    functions_api_account: str = "osfaas-functions-api"
    admin_groups: tuple[str, ...] = ("system:masters",)
