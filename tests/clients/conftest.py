"""Real clients before a real gateway, Keystone and object store: Swift, or with `--store` Ceph."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from account import NAMES, Account, account_of

# The fixtures of the integration tests, by their names.
from conftest import Bucket, Gateway, StartGateway, alice, cloud, function, gateway, gibibyte
from conftest import start_gateway as start_bare_gateway
from front import make_certificate, tls_front
from programs import HOME
from samples import MIB, Sample, contents, sample_of
from stores import Store, store_of

from localcloud import LocalCloud

__all__ = ["alice", "cloud", "function", "gateway", "gibibyte", "start_bare_gateway"]


@pytest.fixture(scope="session", autouse=True)
def clients() -> None:
    """The clients are there; a missing one is a failure, never a skip."""
    assert (HOME / ".installed").exists(), "run 'make clients'"


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, cloud: LocalCloud) -> Iterator[Store]:
    """The object store behind the gateway."""
    name = request.config.getoption("store")
    assert name in NAMES, f"the clients need one of these stores: {', '.join(NAMES)}"
    with store_of(name, cloud) as running:
        yield running


@pytest.fixture(scope="session")
def account(store: Store, cloud: LocalCloud) -> Account:
    return account_of(store, cloud)


@pytest.fixture(scope="session")
def start_gateway(start_bare_gateway: StartGateway, store: Store) -> StartGateway:
    """Gateways in front of that store."""
    return lambda **settings: start_bare_gateway(**{**store.settings, **settings})


@pytest.fixture(scope="session")
def bucket(cloud: LocalCloud, account: Account) -> Bucket:
    return Bucket(cloud, "data", account.url)


@pytest.fixture(scope="session")
def samples(bucket: Bucket, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sample]:
    """The objects, put into the bucket."""
    folder = tmp_path_factory.mktemp("samples")
    for name, data in contents().items():
        if name == "large":
            account.filler.put_parts(
                bucket.name, name, [data[start : start + MIB] for start in range(0, len(data), MIB)]
            )
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
def rclone_config(cloud, alice, gateway, account, tmp_path_factory) -> Path:
    """Two remotes: the store itself, by the gateway's way, and the gateway taken for a web server."""
    access, secret = cloud.seed.ec2
    by_swift = f"type = swift\nstorage_url = {account.url}\nauth_token = {alice}\nauth = {cloud.auth_url}\n"
    by_s3 = (
        f"type = s3\nprovider = Ceph\nendpoint = {account.s3}\nregion = default\n"
        f"access_key_id = {access}\nsecret_access_key = {secret}\n"
    )
    path = tmp_path_factory.mktemp("rclone") / "rclone.conf"
    path.write_text(
        f"[store]\n{by_s3 if account.client else by_swift}\n"
        f"[gateway]\ntype = http\nurl = {gateway.url}/v1/checksums/data/\n"
        f'headers = Authorization,"Bearer {alice}"\n'
    )
    return path
