"""A gateway whose Keystone and store are reached through fronts, and whose functions say what a test wants."""

import contextlib
import time
from dataclasses import dataclass

import httpx
import pytest
import yaml
from echo import Echo, echo, say_what_came
from fronts import Front, front, pass_on

from tests.machine import scaled

VALIDATION = b"GET /v3/auth/tokens"
AUTHENTICATION = b"POST /v3/auth/tokens"
SMALL = b"faulty"


@dataclass(frozen=True)
class Faulty:
    """What a test breaks and asks.

    Attributes:
        poisoned: the checksums function of bob's project.
        invoked: alice's function `echo`.
    """

    gateway: object
    cloud: object
    keystone: Front
    store: Front
    poisoned: Echo
    invoked: Echo
    path: str

    def fresh(self, user: str = "alice") -> str:
        """A token that the gateway has never seen."""
        return self.cloud.token(user)

    def get(self, path: str, token: str | None, **fields: str) -> httpx.Response:
        return self.gateway.get(path, token, headers={"Accept": "application/json", **fields})

    def calm(self) -> None:
        self.keystone.fault = self.store.fault = pass_on
        self.poisoned.answer = self.invoked.answer = say_what_came


def outlast_the_cache() -> None:
    """Until the gateway asks Keystone again about a token that it knows."""
    time.sleep(scaled(0.6))


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


@contextlib.contextmanager
def made_faulty(start_gateway, cloud, function, bucket, **settings):
    """One such gateway, with patience that tests can wait for; a setting that is None is left out."""
    bucket.put("faulty", SMALL)
    clouds = cloud.state / f"clouds-{time.monotonic_ns()}.yaml"
    swift = int(cloud.swift_url.rpartition(":")[2])
    keystone = int(cloud.auth_url.rpartition(":")[2].partition("/")[0])
    with front(keystone) as before_keystone, front(swift) as before_store, echo() as poisoned, echo() as invoked:
        document = yaml.safe_load(cloud.clouds_yaml.read_text())
        document["clouds"]["osfaas"]["auth"]["auth_url"] = f"{before_keystone.url}/v3"
        clouds.write_text(yaml.safe_dump(document))
        patience = {
            "OSFAAS_KEYSTONE_TIMEOUT_SECONDS": str(scaled(1.5)),
            "OSFAAS_STORE_TIMEOUT_SECONDS": str(scaled(3)),
            "OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS": str(scaled(2)),
            "OSFAAS_FUNCTION_TIMEOUT_SECONDS": str(scaled(4)),
            "OSFAAS_RETRY_SECONDS": "0.3",
            "OSFAAS_TOKEN_CACHE_SECONDS": str(scaled(0.5)),
            "OSFAAS_CIRCUIT_SECONDS": "0.1",
            "OSFAAS_SWIFT_ENDPOINT": f"{before_store.url}/v1/AUTH_{{project_id}}",
            "OSFAAS_STORE_ALLOWLIST": "",
        }
        chosen = {name: value for name, value in {**patience, **settings}.items() if value is not None}
        with start_gateway(OS_CLIENT_CONFIG_FILE=str(clouds), **chosen) as gateway:
            own = {"url": f"http://127.0.0.1:{function.port}"}
            tenants = {
                "alice": {"checksums": own, "echo": {"url": invoked.url, "callable": True, "host": "echo.test"}},
                "bob": {"checksums": {"url": poisoned.url}},
                "carol": {"checksums": own},
            }
            listed = [
                {"project_id": cloud.users[user].project_id, "functions": functions}
                for user, functions in tenants.items()
            ]
            gateway.tenants.write_text(yaml.safe_dump({"tenants": listed}))
            time.sleep(1.1)
            yield Faulty(gateway, cloud, before_keystone, before_store, poisoned, invoked, bucket.path("faulty"))


@pytest.fixture(scope="session")
def faulty_gateway(start_gateway, cloud, function, bucket):
    """One for all families."""
    with made_faulty(start_gateway, cloud, function, bucket) as made:
        yield made


@pytest.fixture
def faulty(faulty_gateway):
    """The same, with nothing broken before and after."""
    faulty_gateway.calm()
    yield faulty_gateway
    faulty_gateway.calm()
