"""Which certificates the clients of stores and functions take: never what is set for Keystone."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import certifi
import pytest

from gateway.identity.credential import IdentityService
from gateway.objects.allowlist import StoreAllowlist
from gateway.server.clients import check_authorities, open_clients
from gateway.settings import Settings

Trust = ssl.SSLContext | bool


async def trusts(settings: Settings, verify: Trust) -> tuple[Any, Any]:
    """What the connectors to functions and to stores take."""
    identity = IdentityService("https://keystone.test/v3", None, verify=verify)  # type: ignore[arg-type]
    async with open_clients(settings, identity, StoreAllowlist()) as (functions, stores, _):
        assert isinstance(stores.connector, aiohttp.TCPConnector)
        return functions._pool._tls, stores.connector._ssl


def verified(*contexts: Any) -> list[bool]:
    """Whether certificates are verified; no context has the authority of a file but its own."""
    return [context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname for context in contexts]


def one_authority(folder: Path, number: int) -> Path:
    """A file with one of certifi's authorities."""
    parts = Path(certifi.where()).read_text(encoding="utf-8").split("-----END CERTIFICATE-----")
    path = folder / f"ca-{number}.pem"
    path.write_text(parts[number] + "-----END CERTIFICATE-----\n", encoding="utf-8")
    return path


def test_a_file_of_authorities_that_cannot_be_read_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(ValueError, match=f"OSFAAS_STORE_CAFILE.*{path.name}"):
            check_authorities(Settings(store_cafile=path))
        with pytest.raises(ValueError, match=f"OSFAAS_FUNCTION_CAFILE.*{path.name}"):
            check_authorities(Settings(function_cafile=path))


async def test_a_keystone_that_is_not_verified_leaves_stores_and_functions_verified() -> None:
    assert verified(*await trusts(Settings(), verify=False)) == [True, True]


async def test_authorities_of_keystone_are_not_those_of_stores_and_functions(tmp_path: Path) -> None:
    keystones = ssl.create_default_context(cafile=str(one_authority(tmp_path, 0)))
    functions, stores = await trusts(Settings(), verify=keystones)
    assert verified(functions, stores) == [True, True]
    assert keystones not in {functions, stores}


async def test_verification_is_turned_off_for_each_target_alone() -> None:
    assert verified(*await trusts(Settings(store_insecure=True), verify=True)) == [True, False]
    assert verified(*await trusts(Settings(function_insecure=True), verify=True)) == [False, True]


async def test_a_file_adds_to_the_authorities_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority(tmp_path, 0)))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))

    functions, stores = await trusts(Settings(store_cafile=one_authority(tmp_path, 1)), verify=False)

    assert verified(functions, stores) == [True, True]
    assert len(functions.get_ca_certs()) == 1
    assert len(stores.get_ca_certs()) == 2


def test_a_file_and_no_verification_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"OSFAAS_STORE_CAFILE.*OSFAAS_STORE_INSECURE"):
        check_authorities(Settings(store_cafile=one_authority(tmp_path, 0), store_insecure=True))
