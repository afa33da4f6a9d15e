"""Hostile bytes before a real gateway, Keystone and Swift, over real sockets; by family also behind the real Envoy."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import edge_proxy
import pytest
import wire

# The fixtures of the integration tests, by their names; `start_gateway` is one of them with another name.
from conftest import Gateway, StartGateway, alice, bucket, cloud, function, gateway
from conftest import start_gateway as start_alone
from faulty import faulty, faulty_gateway

__all__ = ["alice", "bucket", "cloud", "faulty", "faulty_gateway", "function", "gateway", "start_alone"]

# In the body of Envoy's own answers.
OF_ENVOY = b'"request_id":"envoy-'
# Tests of bytes that Envoy mends, or answers by itself.
ALONE = frozenset(["test_bad_or_slow_body_is_answered_and_logged_once_with_its_path"])
# Families about what comes over the wire; that of framing has a file of its own, test_behind_envoy.py.
BOTH_WAYS = frozenset(
    f"test_{family}"
    for family in (
        "bodies",
        "disconnects",
        "headers",
        "paths",
        "replies",
        "slow_and_large",
        "upgrades",
    )
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__name__ in ALONE:
        return
    if "front" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS:
        metafunc.parametrize("front", ["alone", "envoy"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def front(request: pytest.FixtureRequest) -> str:
    """Whether gateways are asked directly (`alone`) or through `envoy`, with the product's configuration."""
    return getattr(request, "param", "alone")


@pytest.fixture(scope="session")
def start_gateway(front: str, start_alone: StartGateway) -> StartGateway:
    """Starts a gateway of one's own, and the Envoy in front of it."""

    @contextlib.contextmanager
    def start(**settings: object) -> Iterator[Gateway]:
        with start_alone(**settings) as alone:
            own = {name.removeprefix("OSFAAS_").lower(): value for name, value in settings.items() if name.isupper()}
            known = {name: value for name, value in own.items() if not name.startswith("os_")}
            config = functools.partial(edge_proxy.product_config, **known)
            with edge_proxy.untapped(alone.service.port, alone.cloud.state, config=config) as envoy:
                yield dataclasses.replace(alone, url=f"http://127.0.0.1:{envoy.port}")

    return start if front == "envoy" else start_alone


@pytest.fixture
def refusal(front: str) -> Callable[[int, bytes], wire.Heard]:
    """Sends a request that must be refused, and gives what was heard.

    Alone, the gateway ends the connection. Envoy answers by itself, or ends the connection to the gateway and may keep
    that of the caller.
    """

    def say(port: int, request: bytes) -> wire.Heard:
        if front == "alone":
            heard = wire.say(port, request)
            assert heard.refused, heard
        else:
            heard = wire.say(port, request, answers=1)
            assert heard.one_refusal or (heard.statuses == [404] and OF_ENVOY in heard.data), heard
        return heard

    return say
