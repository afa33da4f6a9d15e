"""The HTTP clients of the process: to Keystone, and to functions and stores."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from gateway.identity.credential import IdentityService
from gateway.objects.origins import StoreOrigins
from gateway.objects.resolver import StoreResolver
from gateway.settings import Settings

USER_AGENT = "osfaas-gateway"


@contextlib.asynccontextmanager
async def open_clients(
    settings: Settings, identity: IdentityService, origins: StoreOrigins
) -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession, httpx.AsyncClient]]:
    """One client for functions, one for stores, one for Keystone; none follows redirects or keeps cookies.

    Where functions are, the directory says, whose word is the operator's; stores come from catalogs, so what their
    names stand for is looked at.
    """
    async with (
        _client(identity, ThreadedResolver()) as functions,
        _client(identity, StoreResolver(ThreadedResolver(), origins)) as stores,
        keystone_client(settings, identity) as keystone_http,
    ):
        yield functions, stores, keystone_http


def store_origins(settings: Settings) -> StoreOrigins:
    """The stores that the settings name.

    Raises:
        ValueError: a setting is no URL of a store.
    """
    return StoreOrigins(listed=settings.store_origins, configured=(settings.swift_endpoint, settings.s3_endpoint))


def _client(identity: IdentityService, resolver: AbstractResolver) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=identity.verify, resolver=resolver)
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
    """A client for Keystone, to be closed by whoever asks for it; proxies of the environment are not used."""
    return httpx.AsyncClient(
        timeout=settings.keystone_timeout_seconds,
        verify=identity.verify,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
    )
