"""The product on the test cluster, installed by its own command from a site's overlay, as an operator would."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.cluster.commands import PYTHON_PROGRAMS, CommandError, run
from tests.cluster.guide import INSTALLATION, commands
from tests.cluster.layout import CHECKOUT
from tests.cluster.node.certificates import make_authority
from tests.cluster.node.facts import API_PORT, NODE_ADDRESS, OPENSTACK_ADDRESS
from tests.cluster.platform.sandbox import RUNTIME_CLASS
from tests.cluster.progress import step
from tests.cluster.recipes.images import STREAMS_IMAGE
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.cluster.builds import BuildSite
    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

SYSTEM = "osfaas-system"
PARTS = ("crd", "system", "gateway", "admin-api", "functions-api", "scheduler", "controller")
EDGE_HOST = "faas.test"
CHECKSUMS_IMAGE = "dev.local/checksums:test"
# One call at a time in each pod, so that parallel calls need pods; small, because the node has two cores.
SMALL: Mapping[str, Any] = {
    "functions": {
        "checksums": {
            "image": CHECKSUMS_IMAGE,
            "concurrency": 1,
            "cpu_millis": 200,
            "memory_mib": 192,
            "max_scale": 5,
        },
        "streams": {
            "image": STREAMS_IMAGE,
            "cpu_millis": 100,
            "memory_mib": 96,
            "max_scale": 1,
            "callable": True,
        },
    },
    "queue_proxy_cpu_millis": 25,
    # Names that cannot be on a registry: the images lie on the node.
    "own_function_images": ["dev.local"],
    "sandbox_runtime_class": RUNTIME_CLASS,
    # Knative's own tests leave many behind for a while.
    "further_services": 30,
}


@dataclass(frozen=True)
class Product:
    """The installed product.

    Attributes:
        edge: a loopback port of this machine that leads to Istio's TLS port, from outside the cluster.
        folder: the overlay, the platform file, the certificates.
    """

    cluster: Testbed
    openstack: OpenStack
    edge: str
    folder: Path

    def osfaas(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`osfaas …` as an administrator with a kubeconfig and a Keystone credential, from the OpenStack side."""
        administrator = {
            "KUBECONFIG": str(self.cluster.running.layout.node_kubeconfig),
            "OS_CLIENT_CONFIG_FILE": str(self.openstack.inside.clouds_yaml),
            "OS_CLOUD": "admin",
            "OSFAAS_PLATFORM_FILE": str(self.folder / "platform.yaml"),
        }
        return self._run(administrator, words, check=check)

    def osfaas_as(
        self, user: str, *words: str, check: bool = True, folder: Path = CHECKOUT
    ) -> subprocess.CompletedProcess[str]:
        """`osfaas …` as an ordinary user, who has a Keystone credential and trusts the site's authority."""
        environment = {
            "OS_CLIENT_CONFIG_FILE": str(self.clouds_of_users()),
            "OS_CLOUD": user,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        return self._run(environment, words, check=check, folder=folder)

    def clouds_of_users(self) -> Path:
        """The clouds.yaml of users who trust the site's authority; programs on the OpenStack side find the edge by its
        name."""
        file = self.folder / "users.yaml"
        if not file.exists():
            clouds = yaml.safe_load(self.openstack.inside.clouds_yaml.read_text())["clouds"]
            trusting = {name: {**cloud, "cacert": str(self._authority)} for name, cloud in clouds.items()}
            file.write_text(yaml.safe_dump({"clouds": trusting}))
            self._name_the_edge()
        return file

    @property
    def _authority(self) -> Path:
        return self.folder / "certificates" / "ca.crt"

    def _name_the_edge(self) -> None:
        """The node's own /etc/hosts, which no machine shares, knows the edge by its name."""
        address = self.cluster.service_address("istio-system", "istio-ingressgateway")
        run(self.cluster.running.on_node("sh", "-c", f"echo {address} {EDGE_HOST} >> /etc/hosts"))

    def _run(
        self, variables: Mapping[str, str], words: tuple[str, ...], *, check: bool, folder: Path = CHECKOUT
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **variables,
            "PATH": f"{PYTHON_PROGRAMS}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
        }
        settings = [f"{name}={value}" for name, value in environment.items()]
        # Entering a mount namespace leaves the folder where one was.
        command = ["env", f"--chdir={folder}", *settings, sys.executable, "-m", "client.cli", *words]
        argv = self.cluster.running.on_openstack_side(*command)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=scaled(600), check=False)
        if check and done.returncode:
            raise CommandError(f"osfaas {' '.join(words)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    @contextmanager
    def caller(self, user: str, seconds: float = 60, *, token: str = "") -> Iterator[httpx.Client]:
        """A user with a token of Keystone, outside the cluster; TLS is verified against the site's authority."""
        headers = {"Host": EDGE_HOST, "X-Auth-Token": token or self.openstack.outside.token(user)}
        trust = ssl.create_default_context(cafile=str(self.folder / "certificates" / "ca.crt"))
        transport = _NamedEdge(verify=trust)
        with httpx.Client(base_url=self.edge, headers=headers, transport=transport, timeout=scaled(seconds)) as client:
            yield client

    def remove_tenant(self, namespace: str) -> None:
        """Takes the record and the namespace away, without the time that running functions are given to end."""
        kubectl = self.cluster.kubectl
        kubectl("delete", "tenant", namespace, "--ignore-not-found")
        kubectl("delete", "services.serving.knative.dev", "--all", "-n", namespace)
        kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0")
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
        # Deployments may have made new ones meanwhile; in a namespace that ends, they cannot.
        kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0")

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of a namespace that are not on their way out."""
        listed: list[dict[str, Any]] = self.cluster.kubectl.get("pods", "-n", namespace)["items"]
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]


class _NamedEdge(httpx.HTTPTransport):
    """TLS by the edge's name, though the connection goes to a loopback port."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = EDGE_HOST
        return super().handle_request(request)


def _by_overlay(product: Product) -> None:
    with step("osfaas platform install"):
        product.osfaas("platform", "install", "--overlay", str(product.folder))


@contextmanager
def product_on(
    cluster: Testbed,
    openstack: OpenStack,
    platform: Mapping[str, Any] = SMALL,
    *,
    install: Callable[[Product], None] = _by_overlay,
    site: BuildSite | None = None,
    settings: Mapping[str, str] | None = None,
    stays: bool = False,
) -> Iterator[Product]:
    """Installs it, and removes it at the end; tenants' namespaces are for their tests to remove.

    Args:
        cluster, openstack: what it is installed on.
        platform: what platform.yaml says; the destinations are added.
        install: installs what the folder describes; Secrets are there.
        site: where functions are built; None: they are not.
        settings: further ones of the gateway.
        stays: it is not removed, because the cluster ends with it.
    """
    with TemporaryDirectory(dir=cluster.running.folder, prefix="product-") as name:
        folder = Path(name)
        platform = {**platform, "builds": site.platform} if site else platform
        _write_overlay(folder, openstack, platform, settings or {})
        certificates = folder / "certificates"
        certificates.mkdir()
        _secrets(cluster, openstack, certificates)
        if site:
            key = f"--from-file=private.pem={site.credential_key}"
            cluster.kubectl("create", "secret", "generic", "osfaas-registry-credentials", "-n", SYSTEM, key)
        ingress = cluster.service_address("istio-system", "istio-ingressgateway")
        try:
            with cluster.door(ingress, 443) as door:
                product = Product(cluster, openstack, door.replace("http://", "https://"), folder)
                install(product)
                yield product
        finally:
            if not stays:
                _remove(cluster, folder)


def know_tenants(cluster: Testbed) -> None:
    """The cluster has our definitions of resources, whatever an earlier run or file has taken away."""
    folder = CHECKOUT / "manifests" / "crd"
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        (document,) = yaml.safe_load_all((folder / name).read_text())
        definition = f"crd/{document['metadata']['name']}"
        going = cluster.kubectl("get", definition, "--ignore-not-found", "-o", "jsonpath={.metadata}")
        if "deletionTimestamp" in going:
            cluster.kubectl("wait", "--for=delete", definition, "--timeout=120s")
        cluster.kubectl.apply(document)
        cluster.kubectl("wait", "--for=condition=Established", definition, "--timeout=60s")


@contextmanager
def installed_controller_stopped(cluster: Testbed) -> Iterator[None]:
    """No controller of the installed product, if there is one: it would make all tenants what *its* platform says."""
    kubectl, where = cluster.kubectl, ("-n", SYSTEM, "deployment/osfaas-controller")
    replicas = kubectl("get", *where, "--ignore-not-found", "-o", "jsonpath={.spec.replicas}")
    if not replicas:
        yield
        return
    kubectl("scale", *where, "--replicas=0")
    try:
        selector = "app.kubernetes.io/name=osfaas-controller"
        kubectl("wait", "--for=delete", "pod", "-n", SYSTEM, "-l", selector, "--timeout=120s")
        yield
    finally:
        kubectl("scale", *where, f"--replicas={replicas}")


def _remove(cluster: Testbed, folder: Path) -> None:
    overlay = cluster.kubectl("kustomize", str(folder))
    cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=overlay)
    for kind in (
        "networkpolicy",
        "authorizationpolicies.security.istio.io",
        "validatingadmissionpolicy",
        "validatingadmissionpolicybinding",
        "mutatingadmissionpolicy",
        "mutatingadmissionpolicybinding",
    ):
        ours = (
            ("-l", "app.kubernetes.io/managed-by=osfaas", "-A")
            if "admission" not in kind
            else (
                "-l",
                "app.kubernetes.io/managed-by=osfaas",
            )
        )
        cluster.kubectl("delete", kind, "--ignore-not-found", *ours)


def _write_overlay(
    folder: Path, openstack: OpenStack, platform: Mapping[str, Any], settings: Mapping[str, str]
) -> None:
    destinations = [{"cidr": f"{OPENSTACK_ADDRESS}/32", "ports": [openstack.swift_port]}]
    (folder / "platform.yaml").write_text(yaml.safe_dump({**platform, "destinations": destinations}))
    bases = os.path.relpath(CHECKOUT / "manifests", folder)
    api = [{"ipBlock": {"cidr": f"{NODE_ADDRESS}/32"}}]
    cloud = [{"ipBlock": {"cidr": f"{OPENSTACK_ADDRESS}/32"}}]
    openstack_ports = [openstack.keystone_port, openstack.swift_port]
    registry_ports = [port for part in platform.get("builds", {}).get("destinations", ()) for port in part["ports"]]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{bases}/{name}" for name in PARTS],
        "images": [{"name": "osfaas-gateway", "newName": "dev.local/osfaas-gateway", "newTag": "test"}],
        "configMapGenerator": [
            {
                "name": "osfaas-gateway",
                "namespace": SYSTEM,
                "behavior": "merge",
                "literals": [
                    f"OSFAAS_PUBLIC_URL=https://{EDGE_HOST}",
                    # The local Swift lets managers into accounts.
                    "OSFAAS_TRIGGER_ROLES=member,manager",
                    *(f"{name}={value}" for name, value in settings.items()),
                ],
            },
            {"name": "osfaas-platform", "namespace": SYSTEM, "behavior": "replace", "files": ["platform.yaml"]},
        ],
        "patches": [
            _egress("allow-kubernetes-api", api, [API_PORT]),
            _egress("allow-openstack", cloud, openstack_ports),
            *([_egress("functions-api-to-registry", cloud, registry_ports)] if registry_ports else []),
            _replaced("Gateway", {"/spec/servers/0/hosts": [EDGE_HOST], "/spec/servers/1/hosts": [EDGE_HOST]}),
            _replaced("VirtualService", {"/spec/hosts": [EDGE_HOST]}),
            # The node has two cores for everything.
            _replaced("Deployment", {"/spec/template/spec/containers/0/resources/requests/cpu": "20m"}),
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))


def _egress(policy: str, peers: list[dict[str, Any]], ports: list[int]) -> dict[str, Any]:
    listed = [{"protocol": "TCP", "port": port} for port in ports]
    patch = _replaced("NetworkPolicy", {"/spec/egress/0/to": peers, "/spec/egress/0/ports": listed})
    patch["target"]["name"] = policy
    return patch


def _replaced(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    steps = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(steps)}


def _secrets(cluster: Testbed, openstack: OpenStack, folder: Path) -> None:
    """By the guide's own commands: two credentials at Keystone and the edge's certificate, by the site's own authority.

    The gateway's user may validate tokens, the controller's may list projects.
    """
    make_authority(folder).issue("edge", user=EDGE_HOST, hosts=(EDGE_HOST,))
    clouds = yaml.safe_load(openstack.inside.clouds_yaml.read_text())["clouds"]
    for part, user in (("gateway", "osfaas"), ("controller", "admin")):
        (folder / f"{part}-clouds.yaml").write_text(yaml.safe_dump({"clouds": {"osfaas": clouds[user]}}))
    # An earlier run on the same cluster may have left them on their way out.
    cluster.kubectl("wait", "--for=delete", f"namespace/{SYSTEM}", "--timeout=180s")
    cluster.kubectl("delete", "secret", "osfaas-edge-tls", "-n", "istio-system", "--ignore-not-found")
    for words in commands(INSTALLATION, "kubectl"):
        try:
            run([*cluster.kubectl.words, *words], folder=folder)
        except CommandError as error:
            if words[:2] != ["create", "namespace"] or "AlreadyExists" not in str(error):
                raise
