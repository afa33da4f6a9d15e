"""Real Keystone, Swift and function behind TLS: whose certificate the gateway takes for which of them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from tls import TlsFront, make_certificate, tls_front

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    return {name: make_certificate(folder / f"{name}.pem") for name in ("keystone", "store", "function")}


@pytest.fixture(scope="module")
def fronts(cloud, function, certificates) -> Iterator[dict[str, TlsFront]]:
    """Each behind a certificate of its own authority."""
    ports = {
        "keystone": urlsplit(cloud.auth_url).port,
        "store": urlsplit(cloud.swift_url).port,
        "function": function.port,
    }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(tls_front(port, certificates[name])) for name, port in ports.items()}


@pytest.fixture
def call(cloud, bucket, fronts, start_gateway, tmp_path, alice) -> Callable:
    """One checksum by a gateway for whom Keystone, Swift and the function are behind TLS."""
    bucket.put("by-tls", b"0123456789" * 100)

    def asked(*, keystone: dict[str, object], **settings: str):
        clouds = yaml.safe_load(cloud.clouds_yaml.read_text())
        clouds["clouds"]["osfaas"] |= keystone
        clouds["clouds"]["osfaas"]["auth"]["auth_url"] = f"{fronts['keystone'].url}/v3"
        own = tmp_path / "clouds.yaml"
        own.write_text(yaml.safe_dump(clouds))
        for front in fronts.values():
            front.sent.clear()
        with start_gateway(
            functions={cloud.users["alice"].project_id: fronts["function"].url},
            OS_CLIENT_CONFIG_FILE=str(own),
            OSFAAS_SWIFT_ENDPOINT=f"{fronts['store'].url}/v1/AUTH_{{project_id}}",
            OSFAAS_STORE_ALLOWLIST=fronts["store"].url,
            OSFAAS_CAPABILITIES="stream",
            **settings,
        ) as gateway:
            response = gateway.get(f"{bucket.path('by-tls')}?algorithm=sha512", alice, headers=JSON)
        return response.status_code, response.json().get("errors", [{}])[0].get("code")

    return asked


def test_no_token_goes_to_a_store_that_is_not_verified_because_keystone_is_not(call, fronts, alice):
    assert call(keystone={"verify": False}) == (503, "store.unavailable")
    assert alice.encode() in fronts["keystone"].sent
    assert not fronts["store"].sent


def test_no_object_goes_to_a_function_that_is_not_verified_because_keystone_is_not(call, fronts):
    answer = call(keystone={"verify": False}, OSFAAS_STORE_CAFILE=str(fronts["store"].authority))
    assert answer == (503, "function.unreachable")
    assert fronts["store"].sent
    assert not fronts["function"].sent


def test_authorities_of_keystone_do_not_vouch_for_a_store(call, fronts, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(fronts["keystone"].authority.read_bytes() + fronts["store"].authority.read_bytes())
    assert call(keystone={"cacert": str(both)}) == (503, "store.unavailable")
    assert not fronts["store"].sent


def test_each_has_authorities_of_its_own(call, fronts):
    answer = call(
        keystone={"cacert": str(fronts["keystone"].authority)},
        OSFAAS_STORE_CAFILE=str(fronts["store"].authority),
        OSFAAS_FUNCTION_CAFILE=str(fronts["function"].authority),
    )
    assert answer == (200, None)


def test_authorities_of_the_system_hold_beside_those_of_keystone_and_of_the_settings(call, fronts):
    """The store's certificate is then like a public one."""
    answer = call(
        keystone={"cacert": str(fronts["keystone"].authority)},
        SSL_CERT_FILE=str(fronts["store"].authority),
        OSFAAS_FUNCTION_CAFILE=str(fronts["function"].authority),
    )
    assert answer == (200, None)


def test_verification_can_be_turned_off_for_each(call, fronts):
    answer = call(
        keystone={"cacert": str(fronts["keystone"].authority)},
        OSFAAS_STORE_INSECURE="true",
        OSFAAS_FUNCTION_INSECURE="true",
    )
    assert answer == (200, None)
