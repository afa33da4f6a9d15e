"""The stores: what runs, how a gateway is pointed at it, and what it does not have, with the reason."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from filler import Filler, S3Filler, SwiftFiller
from lacks import lacks_of

from localcloud import LocalCloud
from localcloud.ceph import Ceph, RadosGateway
from localcloud.ceph import ceph as ceph_cluster
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running
from tests.machine import scaled, wait_until

BINARIES = Path(__file__).parents[2] / ".cache" / "stores"
ACCOUNT_KEY = "key-of-the-account"


@dataclass(frozen=True)
class Store:
    """A running store.

    Attributes:
        settings: of a gateway in front of it.
        capabilities: with which functions read it.
        filler: as alice.
        services: processes by what they are in the store: `front` receives requests, `disk` has the objects.
        refused_names: names of objects that the store does not accept.
        lacks: features that the store does not have, with the reason.
    """

    name: str
    url: str
    settings: Mapping[str, str]
    capabilities: tuple[str, ...]
    filler: Filler
    services: Mapping[str, Service]
    refused_names: frozenset[str] = frozenset()
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return "swift" if isinstance(self.filler, SwiftFiller) else "s3"


@contextlib.contextmanager
def swift(cloud: LocalCloud) -> Iterator[Store]:
    settings = {"OSFAAS_TEMPURL_SET_KEY": "true"}
    filler = SwiftFiller(cloud.account_url("alice"), cloud.session("alice"))
    services = {"front": cloud.services["swift-proxy"], "disk": cloud.services["swift-object"]}
    with filler.account_key(ACCOUNT_KEY):
        yield Store(
            "swift", cloud.swift_url, settings, ("tempurl", "s3", "stream"), filler, services, lacks=lacks_of("swift")
        )


@contextlib.contextmanager
def swift_s3(cloud: LocalCloud) -> Iterator[Store]:
    services = {"front": cloud.services["swift-proxy"], "disk": cloud.services["swift-object"]}
    yield _s3("swift-s3", cloud, cloud.swift_url, services)


def _rgw(name: str, cloud: LocalCloud, gateway: RadosGateway, ceph: Ceph) -> Iterator[Store]:
    account = gateway.swift_endpoint.replace("{project_id}", cloud.users["alice"].project_id)
    settings = {
        "OSFAAS_OBJECT_STORE": "rgw",
        "OSFAAS_SWIFT_ENDPOINT": gateway.swift_endpoint,
        "OSFAAS_S3_ENDPOINT": gateway.url,
        "OSFAAS_STORE_ALLOWLIST": gateway.url,
        "OSFAAS_TEMPURL_DIGEST": "sha1",
        "OSFAAS_TEMPURL_SET_KEY": "true",
    }
    filler = SwiftFiller(account, cloud.session("alice"))
    services = {"front": gateway.service, "disk": ceph.services["ceph-osd"]}
    with filler.account_key(ACCOUNT_KEY):
        yield Store(name, gateway.url, settings, ("tempurl", "s3", "stream"), filler, services, lacks=lacks_of(name))


@contextlib.contextmanager
def rgw_account(cloud: LocalCloud, ceph: Ceph) -> Iterator[Store]:
    yield from _rgw("rgw-account", cloud, ceph.account, ceph)


@contextlib.contextmanager
def rgw_plain(cloud: LocalCloud, ceph: Ceph) -> Iterator[Store]:
    yield from _rgw("rgw-plain", cloud, ceph.plain, ceph)


@contextlib.contextmanager
def rgw_s3(cloud: LocalCloud, ceph: Ceph) -> Iterator[Store]:
    services = {"front": ceph.account.service, "disk": ceph.services["ceph-osd"]}
    yield _s3("rgw-s3", cloud, ceph.account.url, services)


def _s3(
    name: str, cloud: LocalCloud, url: str, services: Mapping[str, Service], refused: frozenset[str] = frozenset()
) -> Store:
    settings = {"OSFAAS_OBJECT_STORE": "s3", "OSFAAS_S3_ENDPOINT": url, "OSFAAS_STORE_ALLOWLIST": url}
    return Store(
        name, url, settings, ("s3", "stream"), S3Filler(url, *cloud.seed.ec2), services, refused, lacks_of(name)
    )


def binary(name: str) -> str:
    path = BINARIES / name
    assert path.exists(), f"{path} is missing: run 'make test-stores'"
    return str(path)


@contextlib.contextmanager
def minio(cloud: LocalCloud, *, env: Mapping[str, str] | None = None) -> Iterator[Store]:
    """With alice's EC2 credential as that of its root user: MinIO knows no Keystone."""
    access, secret = cloud.seed.ec2
    (port,) = free_ports(1)
    own = {
        "MINIO_ROOT_USER": access,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        **(env or {}),
    }
    address = f"127.0.0.1:{port}"
    folder = cloud.state / f"minio-{port}"
    command = [binary("minio"), "server", "--quiet", "--address", address, str(folder)]
    with running(Service(f"minio-{port}", command, port, cloud.state, own)) as service:
        refused = frozenset(["with/slashes//and/empty/segments", "dots/../and/./more.."])
        yield _ready(_s3("minio", cloud, f"http://{address}", {"front": service}, refused))


@contextlib.contextmanager
def versitygw(cloud: LocalCloud, *, options: tuple[str, ...] = ()) -> Iterator[Store]:
    """On a file system, with alice's EC2 credential as that of its root user."""
    access, secret = cloud.seed.ec2
    (port,) = free_ports(1)
    folder = cloud.state / f"versitygw-{port}"
    for each in ("objects", "versions"):
        (folder / each).mkdir(parents=True)
    command = [
        *(binary("versitygw"), "--access", access, "--secret", secret, "--port", f"127.0.0.1:{port}", *options),
        *("posix", "--versioning-dir", str(folder / "versions"), str(folder / "objects")),
    ]
    with running(Service(f"versitygw-{port}", command, port, cloud.state, dict(os.environ))) as service:
        yield _ready(_s3("versitygw", cloud, f"http://127.0.0.1:{port}", {"front": service}))


def _ready(store: Store) -> Store:
    """Its port is open before it answers."""

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(store.url, timeout=scaled(10)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
        return False

    wait_until(answers, what=store.name)
    return store


OF_CLOUD: Mapping[str, Callable[[LocalCloud], contextlib.AbstractContextManager[Store]]] = {
    "swift": swift,
    "swift-s3": swift_s3,
    "minio": minio,
    "versitygw": versitygw,
}
OF_CEPH: Mapping[str, Callable[[LocalCloud, Ceph], contextlib.AbstractContextManager[Store]]] = {
    "rgw-account": rgw_account,
    "rgw-plain": rgw_plain,
    "rgw-s3": rgw_s3,
}


@contextlib.contextmanager
def store_of(name: str, cloud: LocalCloud) -> Iterator[Store]:
    """A store by its name, with a Ceph of its own if it needs one."""
    with contextlib.ExitStack() as stack:
        if name in OF_CEPH:
            yield stack.enter_context(OF_CEPH[name](cloud, stack.enter_context(ceph_cluster(cloud))))
        else:
            yield stack.enter_context(OF_CLOUD[name](cloud))
