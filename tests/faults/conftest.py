"""A real gateway, and between it and each of Keystone, store and function Toxiproxy and then a barrier.

The store is Swift, or with `--store` another one of tests/stores.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml
from barrier import Barrier, barrier

# The fixtures of the integration tests, by their names.
from conftest import Gateway, alice, cloud, function, start_gateway
from stores import Store, store_of
from toxiproxy import Proxy, toxiproxy

from localcloud import LocalCloud
from localcloud.ports import free_ports
from tests.machine import scaled

__all__ = ["alice", "cloud", "function", "start_gateway"]


@dataclass(frozen=True)
class Toxic:
    """The gateway, its three ways, and what stands at the end of each before the real upstream."""

    gateway: Gateway
    ways: dict[str, Proxy]
    barriers: dict[str, Barrier]

    def clean(self) -> None:
        for way in self.ways.values():
            way.clean()


def port_of(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])


def behind(store: Store, port: int) -> dict[str, str]:
    """Settings of a gateway that reaches the store on another port of loopback."""
    swift = {"OSFAAS_SWIFT_ENDPOINT": f"{store.url}/v1/AUTH_{{project_id}}"}
    settings = {**swift, "OSFAAS_S3_ENDPOINT": store.url, **store.settings}
    return {name: value.replace(store.url, f"http://127.0.0.1:{port}") for name, value in settings.items()}


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, cloud: LocalCloud) -> Iterator[Store]:
    with store_of(request.config.getoption("store"), cloud) as running:
        running.filler.make("data")
        yield running


@pytest.fixture(scope="session")
def toxic_gateway(cloud, function, store, start_gateway):
    api, *listens = free_ports(4)
    with toxiproxy(api) as server, contextlib.ExitStack() as stack:
        targets = {"keystone": port_of(cloud.auth_url), "store": port_of(store.url), "function": function.port}
        barriers = {name: stack.enter_context(barrier(port)) for name, port in targets.items()}
        ways = {
            name: server.before(name, each.port, listen)
            for (name, each), listen in zip(barriers.items(), listens, strict=True)
        }
        clouds = cloud.state / "clouds-toxic.yaml"
        document = yaml.safe_load(cloud.clouds_yaml.read_text())
        document["clouds"]["osfaas"]["auth"]["auth_url"] = f"http://127.0.0.1:{ways['keystone'].port}/v3"
        clouds.write_text(yaml.safe_dump(document))
        settings = {
            "OS_CLIENT_CONFIG_FILE": str(clouds),
            **behind(store, ways["store"].port),
            "OSFAAS_STORE_ALLOWLIST": "",
            "OSFAAS_CAPABILITIES": "stream",
            # Less than its answer takes at a kilobyte a second, however slow the machine.
            "OSFAAS_KEYSTONE_TIMEOUT_SECONDS": "2",
            "OSFAAS_STORE_TIMEOUT_SECONDS": str(scaled(2)),
            "OSFAAS_FUNCTION_CONNECT_TIMEOUT_SECONDS": str(scaled(2)),
            "OSFAAS_FUNCTION_IDLE_TIMEOUT_SECONDS": str(scaled(2)),
            # As for the content: 51 KB.
            "OSFAAS_FUNCTION_TIMEOUT_SECONDS": str(min(scaled(5), 40)),
            "OSFAAS_RETRY_SECONDS": "0",
            "OSFAAS_CIRCUIT_SECONDS": "0.1",
            # A read in the background must not meet the fault in place of the call.
            "OSFAAS_UNIFIED_LIMITS_SECONDS": "0",
        }
        own = {cloud.users["alice"].project_id: f"http://127.0.0.1:{ways['function'].port}"}
        yield Toxic(stack.enter_context(start_gateway(functions=own, **settings)), ways, barriers)


@pytest.fixture
def toxic(toxic_gateway):
    """Without a toxic before and after."""
    toxic_gateway.clean()
    yield toxic_gateway
    toxic_gateway.clean()
    time.sleep(0.12)
