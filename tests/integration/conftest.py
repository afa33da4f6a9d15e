"""The real thing, once per test run: Keystone, Swift, a function for each tenant, a gateway; all over sockets."""

import contextlib
import hashlib
import http.client
import json
import random
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from gateway.settings import Settings
from localcloud import LocalCloud, local_cloud
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import function_service, gateway_service, running, write_tenants
from tests.machine import scaled
from tests.valkey import Valkey


@dataclass(frozen=True)
class Gateway:
    """A gateway under test, and the function processes of its tenants.

    Attributes:
        url: where callers reach it; this may be a proxy in front.
        service: its own process.
    """

    url: str
    service: Service
    cloud: LocalCloud
    tenants: Path

    @property
    def port(self) -> int:
        """Of `url`."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str, token: str | None = None, **kwargs: object) -> httpx.Response:
        return self.call("GET", path, token, **kwargs)

    def call(self, method: str, path: str, token: str | None = None, **kwargs: object) -> httpx.Response:
        headers = {**({"X-Auth-Token": token} if token else {}), **kwargs.pop("headers", {})}  # type: ignore[dict-item]
        with httpx.Client(timeout=scaled(300)) as client:
            # As it stands: httpx would take the dots out of a path.
            target = {"target": path.encode("ascii")}
            return client.request(method, self.url, headers=headers, extensions=target, **kwargs)  # type: ignore[arg-type]

    def metric(self, name: str, **labels: str) -> float:
        """Value of a metric now; 0 if it has not been counted."""
        metrics = httpx.get(f"http://127.0.0.1:{self.service.port}/metrics", timeout=scaled(300))
        for line in metrics.text.splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([0-9.e+]+)", line)
            if match and dict(re.findall(r'(\w+)="([^"]*)"', match[1] or "")) == labels:
                return float(match[2])
        return 0.0


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A store of limits that gateways share."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A real Keystone and a real Swift."""
    with local_cloud(progress=lambda line: print(f"  {line}", file=sys.stderr, flush=True)) as running_cloud:
        yield running_cloud


@pytest.fixture(scope="session")
def function(cloud: LocalCloud) -> Iterator[Service]:
    """The function of alice's project."""
    with running(function_service(cloud.state)) as service:
        yield service


def long_timeouts() -> dict[str, str]:
    """How long a gateway waits by default for others to answer, on this machine."""
    waits = ("keystone_timeout_seconds", "store_timeout_seconds", "limit_store_timeout_seconds")
    return {f"OSFAAS_{name.upper()}": str(scaled(Settings.model_fields[name].default)) for name in waits}


StartGateway = Callable[..., contextlib.AbstractContextManager[Gateway]]


@pytest.fixture(scope="session")
def start_gateway(cloud: LocalCloud, function: Service) -> StartGateway:
    """Starts a gateway of one's own, with other settings or other functions."""
    started = 0

    @contextlib.contextmanager
    def start(
        *, functions: Mapping[str, str] | None = None, port: int | None = None, **settings: str
    ) -> Iterator[Gateway]:
        nonlocal started
        started += 1
        tenants = cloud.state / f"tenants-{started}.yaml"
        own = f"http://127.0.0.1:{function.port}"
        write_tenants(
            tenants,
            functions or {cloud.users[user].project_id: own for user in ("alice", "bob", "carol")},
        )
        service = gateway_service(
            cloud,
            tenants=tenants,
            name=f"gateway-{started}",
            port=port or free_ports(1)[0],
            env={**long_timeouts(), **settings},
        )
        with running(service):
            yield Gateway(f"http://127.0.0.1:{service.port}", service, cloud, tenants)

    return start


@pytest.fixture(scope="session")
def gateway(cloud: LocalCloud, start_gateway: StartGateway) -> Iterator[Gateway]:
    """The gateway with default settings, at the address that the catalog names."""
    with start_gateway(port=cloud.gateway_port) as running_gateway:
        yield running_gateway


@dataclass(frozen=True)
class Content:
    """Content of an object, and its digests by the standard library."""

    data: bytes
    digests: Mapping[str, str]


def content_of(data: bytes) -> Content:
    """Digests that do not come from the function's libraries."""
    named = {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}
    return Content(data, {**named, "adler32": f"{zlib.adler32(data):08x}", "crc32": f"{zlib.crc32(data):08x}"})


class Bucket:
    """A container of alice's, filled as alice; in Swift, or in an account of another store."""

    def __init__(self, cloud: LocalCloud, name: str, account: str | None = None) -> None:
        self.name = name
        self.url = f"{account or cloud.account_url('alice')}/{name}"
        self.session = cloud.session("alice")
        self.session.put(self.url)

    def put(self, name: str, data: bytes | Iterator[bytes], **headers: str) -> None:
        """`name` is percent-encoded here, byte by byte."""
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        fields["X-Auth-Token"] = self.session.get_token() or ""
        if not isinstance(data, bytes):
            fields["Transfer-Encoding"] = "chunked"
        parts = urlsplit(self.url)
        # Not by the session, whose HTTP library takes the dots out of paths.
        connection = http.client.HTTPConnection(parts.netloc, timeout=scaled(300))
        connection.request("PUT", f"{parts.path}/{quote(name)}", data, fields, encode_chunked=True)
        response = connection.getresponse()
        connection.close()
        assert response.status == 201, response.status

    def put_large(self, name: str, segments: list[str]) -> None:
        """A static large object of other objects, each `container/name`."""
        manifest = json.dumps([{"path": f"/{segment}"} for segment in segments])
        self.session.put(f"{self.url}/{quote(name)}?multipart-manifest=put", data=manifest)

    def head(self, name: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self.session.head(f"{self.url}/{quote(name)}").headers
        return found

    @contextlib.contextmanager
    def readable_by(self, user: object) -> Iterator[None]:
        """A user of the cloud may read the objects for a while; other tests find the container as it was."""
        self.session.post(self.url, headers={"X-Container-Read": f"{user.project_id}:{user.id}"})
        try:
            yield
        finally:
            self.session.post(self.url, headers={"X-Container-Read": ""})

    def path(self, name: str) -> str:
        return f"/v1/checksums/{quote(self.name)}/{quote(name)}"


@pytest.fixture(scope="session")
def bucket(cloud: LocalCloud) -> Bucket:
    return Bucket(cloud, "data")


def gibibyte_blocks() -> Iterator[bytes]:
    """The content of the object `gibibyte`: 1,024 blocks of 1 MiB, no two the same."""
    block = random.Random(1).randbytes(1 << 20)
    for number in range(1024):
        yield number.to_bytes(8, "big") + block[8:]


@pytest.fixture(scope="session")
def gibibyte(bucket: Bucket) -> Mapping[str, str]:
    """A 1 GiB object `gibibyte` in the bucket; its digests, made while it was uploaded."""
    hashes = {name: hashlib.new(name) for name in ("md5", "sha256")}
    checks = {"adler32": 1, "crc32": 0}

    def blocks() -> Iterator[bytes]:
        for piece in gibibyte_blocks():
            for each in hashes.values():
                each.update(piece)
            checks["adler32"] = zlib.adler32(piece, checks["adler32"])
            checks["crc32"] = zlib.crc32(piece, checks["crc32"])
            yield piece

    bucket.put("gibibyte", blocks())
    return {name: each.hexdigest() for name, each in hashes.items()} | {
        name: f"{value:08x}" for name, value in checks.items()
    }


@pytest.fixture(scope="session")
def alice(cloud: LocalCloud) -> str:
    """A token of alice's."""
    return cloud.token("alice")


@pytest.fixture(scope="session")
def gateways(start_gateway: StartGateway) -> Iterator[Mapping[str, Gateway]]:
    """Gateways that know one way of reading each."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(start_gateway(OSFAAS_CAPABILITIES=name, OSFAAS_TEMPURL_SET_KEY="true"))
            for name in ("tempurl", "s3", "stream")
        }
