"""The HTTP clients of the process: to Keystone, and to functions and stores."""

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from gateway.identity.credential import IdentityService
from gateway.objects.allowlist import StoreAllowlist, is_forbidden_address
from gateway.objects.resolver import AllowlistResolver
from gateway.settings import Settings
from gateway.upstream.function_client import FunctionClient

log = logging.getLogger(__name__)

USER_AGENT = "osfaas-gateway"


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Trusted certificates of a target: the system's authorities, and those of the settings for this target.

    Settings for Keystone do not apply to stores and functions, which receive callers' tokens and objects.

    Attributes:
        target: the first word of the settings.
        cafile: additional authorities.
        insecure: accepts any certificate.
    """

    target: str
    cafile: Path | None
    insecure: bool

    def context(self) -> ssl.SSLContext:
        """What a client of the target trusts.

        Raises:
            ValueError: the file holds no certificates, or is set although verification is off.
        """
        prefix = f"OSFAAS_{self.target.upper()}"
        if self.insecure and self.cafile is not None:
            raise ValueError(f"{prefix}_CAFILE has no effect with {prefix}_INSECURE: set one of them")
        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.cafile is None:
            return context
        try:
            context.load_verify_locations(self.cafile)
        except OSError as error:  # ssl.SSLError is one too
            raise ValueError(f"{prefix}_CAFILE: {self.cafile} holds no certificates in PEM format: {error}") from error
        return context


def store_trust(settings: Settings) -> TlsTrust:
    """Trusted certificates of object stores."""
    return TlsTrust("store", settings.store_cafile, settings.store_insecure)


def function_trust(settings: Settings) -> TlsTrust:
    """Trusted certificates of functions."""
    return TlsTrust("function", settings.function_cafile, settings.function_insecure)


def check_authorities(settings: Settings) -> None:
    """Validates the TLS settings before the server starts; logs each target that is not verified.

    Raises:
        ValueError: as `TlsTrust.context`.
    """
    for trust in (store_trust(settings), function_trust(settings)):
        trust.context()
        if trust.insecure:
            log.warning("certificates of every %s are accepted: OSFAAS_%s_INSECURE", trust.target, trust.target.upper())


@contextlib.asynccontextmanager
async def open_clients(
    settings: Settings, identity: IdentityService, allowlist: StoreAllowlist
) -> AsyncIterator[tuple[FunctionClient, aiohttp.ClientSession, httpx.AsyncClient]]:
    """One client for functions, one for stores, one for Keystone; none follows redirects or keeps cookies.

    Addresses of functions come from the directory, which the operator controls. Stores come from catalogs, so their
    resolved addresses are checked.
    """
    async with (
        FunctionClient(settings, function_trust(settings).context()) as functions,
        store_session(settings, allowlist) as stores,
        keystone_client(settings, identity) as keystone_http,
    ):
        yield functions, stores, keystone_http


def store_origins(settings: Settings) -> StoreAllowlist:
    """The allowlist of stores from the settings.

    Raises:
        ValueError: a setting is not the URL of a store.
    """
    return StoreAllowlist(listed=settings.store_allowlist, configured=(settings.swift_endpoint, settings.s3_endpoint))


def store_session(settings: Settings, allowlist: StoreAllowlist) -> aiohttp.ClientSession:
    """The HTTP client of object stores; it connects only to addresses that the allowlist accepts."""
    return _client(store_trust(settings), AllowlistResolver(ThreadedResolver(), allowlist, is_forbidden_address))


def _client(trust: TlsTrust, resolver: AbstractResolver) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=trust.context(), resolver=resolver)
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        # A Content-Type of the client's own would become the object's when metadata is written.
        skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type"],
        read_bufsize=1 << 18,
    )


def keystone_client(settings: Settings, identity: IdentityService) -> httpx.AsyncClient:
    """A client for Keystone, which the caller closes; proxies of the environment are not used."""
    return httpx.AsyncClient(
        timeout=settings.keystone_timeout_seconds,
        verify=identity.verify,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
    )
