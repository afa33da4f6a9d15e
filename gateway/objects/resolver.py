"""DNS resolution without forbidden addresses (SSRF, DNS rebinding): of stores, and of receivers of callbacks.

The connection uses the checked address, so a DNS answer that changes in between has no effect.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.objects.allowlist import Address


class Allowlist(Protocol):
    """What the operator has listed."""

    def knows(self, host: str, port: int) -> bool:
        """Whether all addresses of this host are allowed."""


class AllowlistResolver(AbstractResolver):
    """A resolver for aiohttp that filters forbidden addresses of hosts that are not listed."""

    def __init__(
        self, resolver: AbstractResolver, allowlist: Allowlist, is_forbidden: Callable[[Address], bool]
    ) -> None:
        self._resolver = resolver
        self._allowlist = allowlist
        self._is_forbidden = is_forbidden

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
        allowed = [entry for entry in found if not self._is_forbidden(ipaddress.ip_address(entry["host"]))]
        if not allowed:
            raise OSError(f"{host} has no allowed address")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()
