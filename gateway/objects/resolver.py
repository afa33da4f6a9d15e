"""DNS resolution of stores without forbidden addresses (SSRF, DNS rebinding).

The connection uses the checked address, so a DNS answer that changes in between has no effect.
"""

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.objects.allowlist import StoreAllowlist, is_forbidden_address


class StoreResolver(AbstractResolver):
    """A resolver for aiohttp that filters forbidden addresses."""

    def __init__(self, resolver: AbstractResolver, allowlist: StoreAllowlist) -> None:
        self._resolver = resolver
        self._allowlist = allowlist

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolves a host.

        Raises:
            OSError: there is no address, or no allowed one.
        """
        found = await self._resolver.resolve(host, port, family)
        if self._allowlist.knows(host.rstrip("."), port):
            return found
        allowed = [entry for entry in found if not is_forbidden_address(ipaddress.ip_address(entry["host"]))]
        if not allowed:
            raise OSError(f"{host} has no allowed address")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()
