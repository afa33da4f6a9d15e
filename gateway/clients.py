"""The HTTP clients of the process: to Keystone, and to functions and stores."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import httpx

from gateway.identity.credential import IdentityService
from gateway.settings import Settings

USER_AGENT = "osfaas-gateway"


@contextlib.asynccontextmanager
async def open_clients(
    settings: Settings, identity: IdentityService
) -> AsyncIterator[tuple[aiohttp.ClientSession, httpx.AsyncClient]]:
    """One client for functions and stores, one for Keystone; neither follows redirects or keeps cookies."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=identity.verify)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            # A Content-Type of the client's own would become the object's when metadata is written.
            skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type"],
            read_bufsize=1 << 18,
        ) as http,
        keystone_client(settings, identity) as keystone_http,
    ):
        yield http, keystone_http


def keystone_client(settings: Settings, identity: IdentityService) -> httpx.AsyncClient:
    """A client for Keystone, to be closed by whoever asks for it; proxies of the environment are not used."""
    return httpx.AsyncClient(
        timeout=settings.keystone_timeout_seconds,
        verify=identity.verify,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
    )
