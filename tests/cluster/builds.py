"""What builds of functions need, on the OpenStack side: a registry, its token endpoint, an index of packages."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from builds.image import CONFIG
from builds.layers import Blob
from builds.registry import Registry
from control.registry.serve import public_keys
from control.registry.tokens import Grant, SigningKey, claims_of
from tenancy.registry_credentials import CredentialSigner
from tests.cluster.commands import run, wait_until
from tests.cluster.layout import CHECKOUT
from tests.cluster.node.facts import OPENSTACK_ADDRESS
from tests.cluster.progress import step
from tests.cluster.recipes.images import GATEWAY_IMAGE, runtime_images, runtime_layout
from tests.machine import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.openstack import OpenStack
    from tests.cluster.testbed import Testbed

REGISTRY_PORT, TOKENS_PORT, INDEX_PORT = 15000, 15001, 15002
HOST = f"{OPENSTACK_ADDRESS}:{REGISTRY_PORT}"
TOKEN_URL = f"http://{OPENSTACK_ADDRESS}:{TOKENS_PORT}/v1/registry/token"
PORTS = (REGISTRY_PORT, TOKENS_PORT, INDEX_PORT)
_PROGRAM = CHECKOUT / ".cache" / "registry" / "registry"
_WHEELS = CHECKOUT / ".cache" / "functions" / "packages"
_SERVICE = "osfaas-registry"


@dataclass(frozen=True)
class BuildSite:
    """The servers of builds.

    Attributes:
        folder: `packages` in it is the index, `credential.pem` the key of the controller.
        url: of the registry, from this machine.
        key: signs tokens of the registry.
        bases: base images, by runtime.
        cluster: on whose OpenStack side they run.
    """

    folder: Path
    url: str
    key: SigningKey
    bases: dict[str, str]
    cluster: Testbed

    def restart_registry(self) -> None:
        """Kills the registry; it starts again by itself."""
        run(self.cluster.running.on_node("kill", "-9", (self.folder / "registry.pid").read_text().strip()))

    @property
    def platform(self) -> dict[str, Any]:
        """The part `builds` of a platform file."""
        return {
            "image": GATEWAY_IMAGE,
            "registry": HOST,
            "registry_url": f"http://{HOST}",
            "token_url": TOKEN_URL,
            "index_url": f"http://{OPENSTACK_ADDRESS}:{INDEX_PORT}/",
            "bases": self.bases,
            "destinations": [{"cidr": f"{OPENSTACK_ADDRESS}/32", "ports": list(PORTS)}],
            "cpu_millis": 1000,
            "memory_mib": 512,
        }

    @property
    def packages(self) -> Path:
        """The folder of the index: a folder for each package."""
        return self.folder / "packages"

    @property
    def credential_key(self) -> Path:
        return self.folder / "credential.pem"

    def token(self, repository: str, *actions: str) -> str:
        """A token of the registry, signed by the operator himself."""
        return _signed(self.key, repository, *actions)

    @contextmanager
    def registry(self, repository: str) -> Iterator[Registry]:
        """The registry, with the operator's right to write a repository."""
        headers = {"Authorization": f"Bearer {self.token(repository, 'pull', 'push')}"}
        with httpx.Client(timeout=scaled(120), trust_env=False, headers=headers) as client:
            yield Registry(self.url, None, client)

    def copy_base(self, runtime: str, repository: str) -> str:
        """Pushes a base image to another repository; its digest."""
        return _push_base(self.url, self.key, runtime, repository)

    def ask(self, path: str, token: str) -> httpx.Response:
        """A request to the registry."""
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        return httpx.get(f"{self.url}/v2/{path}", headers=headers, timeout=scaled(60), trust_env=False)


@contextmanager
def build_site(cluster: Testbed, openstack: OpenStack) -> Iterator[BuildSite]:
    """Runs them until the block ends. The base images are pushed, and the node knows the registry."""
    with ExitStack() as stack:
        with step("registry, token endpoint and index on the OpenStack side"):
            site = _start(cluster, openstack, stack)
        yield site


def _start(cluster: Testbed, openstack: OpenStack, stack: ExitStack) -> BuildSite:
    folder = Path(stack.enter_context(TemporaryDirectory(dir=cluster.running.folder, prefix="builds-")))
    (folder / "packages").mkdir()
    for wheel in sorted(_WHEELS.glob("*.whl")):
        place = folder / "packages" / wheel.name.partition("-")[0].lower().replace("_", "-")
        place.mkdir(exist_ok=True)
        shutil.copy(wheel, place)
    key = _keys(folder)
    for argv in _programs(cluster, openstack, folder):
        stack.enter_context(cluster.openstack_server(argv))
    for port in PORTS:
        wait_until(f"port {port}", partial(_answers, cluster, port), seconds=60)
    url = stack.enter_context(cluster.door(OPENSTACK_ADDRESS, REGISTRY_PORT))
    site = BuildSite(folder, url, key, _push_bases(url, key), cluster)
    _tell_node(cluster)
    return site


def _keys(folder: Path) -> SigningKey:
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tokens.pem").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*private))
    (folder / "jwks.json").write_text(public_keys(folder / "tokens.pem"))
    (folder / "credential.pem").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(*private))
    (folder / "credential.pub").write_bytes(CredentialSigner.from_file(folder / "credential.pem").public_key())
    return SigningKey.from_file(folder / "tokens.pem")


def _programs(cluster: Testbed, openstack: OpenStack, folder: Path) -> Iterator[Sequence[str]]:
    assert _PROGRAM.exists(), "run: make .cache/registry/.installed"
    token = {
        "realm": TOKEN_URL,
        "service": _SERVICE,
        "issuer": "osfaas",
        "jwks": str(folder / "jwks.json"),
        "signingalgorithms": ["ES256"],
    }
    registry = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "store")}, "delete": {"enabled": True}},
        "http": {"addr": f"{OPENSTACK_ADDRESS}:{REGISTRY_PORT}", "secret": "of the tests"},
        "auth": {"token": token},
    }
    (folder / "store").mkdir()
    (folder / "registry.yaml").write_text(yaml.safe_dump(registry))
    # As a supervisor does it: a second later, there is another one.
    loop = r'trap "kill \$!; exit" TERM; while true; do "$@" & echo $! > "$0"; wait $!; sleep 1; done'
    # Without a collector of traces, which it would look for on this machine.
    yield [
        "env",
        "OTEL_TRACES_EXPORTER=none",
        "sh",
        "-c",
        loop,
        str(folder / "registry.pid"),
        str(_PROGRAM),
        "serve",
        str(folder / "registry.yaml"),
    ]
    index = ["-m", "http.server", str(INDEX_PORT), "--bind", OPENSTACK_ADDRESS, "--directory", str(folder / "packages")]
    yield _quiet([sys.executable, *index])
    settings = {
        "PYTHONPATH": str(CHECKOUT),
        "OS_CLIENT_CONFIG_FILE": str(openstack.inside.clouds_yaml),
        "OS_CLOUD": "osfaas",
        "OSFAAS_LISTEN_HOST": OPENSTACK_ADDRESS,
        "OSFAAS_LISTEN_PORT": str(TOKENS_PORT),
        "OSFAAS_TENANT_SOURCE": "kubernetes",
        "OSFAAS_KUBECONFIG": str(cluster.running.layout.node_kubeconfig),
        "OSFAAS_REGISTRY_TOKEN_KEY_FILE": str(folder / "tokens.pem"),
        "OSFAAS_REGISTRY_CREDENTIAL_KEY_FILE": str(folder / "credential.pub"),
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    yield _quiet(["env", f"--chdir={CHECKOUT}", *words, sys.executable, "-m", "client.cli", "registry-tokens"], folder)


def _quiet(argv: list[str], folder: Path | None = None) -> list[str]:
    log = folder / "tokens.log" if folder else Path("/dev/null")
    return ["sh", "-c", f'exec "$@" >>{log} 2>&1', "sh", *argv]


def _answers(cluster: Testbed, port: int) -> bool:
    return cluster.curl_from_openstack(f"http://{OPENSTACK_ADDRESS}:{port}/v2/").status != 0


def _signed(key: SigningKey, repository: str, *actions: str) -> str:
    grant = Grant("repository", repository, actions)
    now = int(time.time())
    return key.sign(claims_of([grant], subject="operator", issuer="osfaas", audience=_SERVICE, now=now, seconds=600))


def _push_bases(url: str, key: SigningKey) -> dict[str, str]:
    return {name: f"base/{name}@{_push_base(url, key, name, f'base/{name}')}" for name in runtime_images()}


def _push_base(url: str, key: SigningKey, runtime: str, repository: str) -> str:
    """Copies an OCI layout into the registry, as an operator does with a tool of his choice; the digest."""
    layout = runtime_layout(runtime)
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    blobs = layout / "blobs" / "sha256"
    data = (blobs / entry["digest"].partition(":")[2]).read_bytes()
    manifest = json.loads(data)
    headers = {"Authorization": f"Bearer {_signed(key, repository, 'pull', 'push')}"}
    with httpx.Client(timeout=scaled(120), trust_env=False, headers=headers) as client:
        registry = Registry(url, None, client)
        for each in (*manifest["layers"], manifest["config"]):
            path = blobs / each["digest"].partition(":")[2]
            registry.push_blob(repository, Blob(each["digest"], each["size"], path))
        registry.push_manifest(repository, entry["digest"], entry["mediaType"], data)
    assert manifest["config"]["mediaType"] == CONFIG
    assert hashlib.sha256(data).hexdigest() == entry["digest"].partition(":")[2]
    return str(entry["digest"])


def _tell_node(cluster: Testbed) -> None:
    """The registry has no TLS here; containerd reads this at each pull."""
    hosts = cluster.running.layout.registries / HOST
    hosts.mkdir(parents=True, exist_ok=True)
    text = f'server = "http://{HOST}"\n[host."http://{HOST}"]\ncapabilities = ["pull", "resolve"]\n'
    (hosts / "hosts.toml").write_text(text)
