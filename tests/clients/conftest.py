"""Real clients before a real gateway, Keystone and Swift."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

# The fixtures of the integration tests, by their names.
from conftest import Bucket, Gateway, alice, bucket, cloud, function, gateway, gibibyte, start_gateway
from front import make_certificate, tls_front
from programs import HOME
from samples import MIB, Sample, contents, sample_of

__all__ = ["alice", "bucket", "cloud", "function", "gateway", "gibibyte", "start_gateway"]


@pytest.fixture(scope="session", autouse=True)
def clients() -> None:
    """The clients are there; a missing one is a failure, never a skip."""
    assert (HOME / ".installed").exists(), "run 'make clients'"


@pytest.fixture(scope="session")
def samples(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sample]:
    """The objects, put into the bucket."""
    folder = tmp_path_factory.mktemp("samples")
    for name, data in contents().items():
        if name == "large":
            for number in range(3):
                bucket.put(f"segments/{number}", data[number * MIB : (number + 1) * MIB])
            bucket.put_large(name, [f"{bucket.name}/segments/{number}" for number in range(3)])
        else:
            bucket.put(name, data)
    return {name: sample_of(name, data, folder) for name, data in contents().items()}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def https(gateway: Gateway, certificate: Path) -> Iterator[str]:
    """The gateway behind TLS."""
    with tls_front(gateway.service.port, certificate) as url:
        yield url


@pytest.fixture(scope="session")
def url(gateway: Gateway, bucket: Bucket) -> str:
    """Where the gateway has the bucket's objects."""
    return f"{gateway.url}/v1/checksums/{quote(bucket.name)}"


@pytest.fixture(scope="session")
def rclone_config(cloud, alice, gateway, tmp_path_factory) -> Path:
    """Two remotes: Swift itself, and the gateway taken for a web server."""
    path = tmp_path_factory.mktemp("rclone") / "rclone.conf"
    path.write_text(
        f"[swift]\ntype = swift\nstorage_url = {cloud.account_url('alice')}\nauth_token = {alice}\n"
        f"auth = {cloud.auth_url}\n\n"
        f"[gateway]\ntype = http\nurl = {gateway.url}/v1/checksums/data/\n"
        f'headers = Authorization,"Bearer {alice}"\n'
    )
    return path
