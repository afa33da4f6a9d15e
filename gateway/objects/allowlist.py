"""Allowlist of object stores: protection against server-side request forgery (SSRF).

No URL comes from a request. The catalog is Keystone's, so the operator controls it; but it is data, and a wrong or
forged one must not lead to addresses that only the gateway can reach: its own loopback, the metadata service, names
inside the cluster. A store at such an address must be listed (`OSFAAS_STORE_ALLOWLIST`).
"""

import ipaddress
import logging
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from gateway.errors import ErrorCode, GatewayError

log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Origin = tuple[str, str, int]

_PORTS = {"http": 80, "https": 443}
# Metadata services that the address classes below do not cover, and "this network" (RFC 1122, 3.2.1.3).
_FORBIDDEN_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fec0::/10",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_INTERNAL_SUFFIXES = ("localhost", "local", "internal", "svc")


def origin_of(url: str) -> Origin:
    """Scheme, host in lower case and port of an http(s) URL.

    Raises:
        ValueError: it has none, or is ambiguous.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url or "%" in parts.netloc:
        raise ValueError("not an http or https URL of a host")
    return parts.scheme, parts.hostname.rstrip("."), parts.port or _PORTS[parts.scheme]


def is_forbidden_address(address: Address) -> bool:
    """Whether a store at this address is allowed only if the operator lists it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = embedded_addresses(address)
        if inner:
            return any(is_forbidden_address(each) for each in inner)
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or any(address in network for network in _FORBIDDEN_NETWORKS if network.version == address.version)
    )


def embedded_addresses(address: ipaddress.IPv6Address) -> tuple[Address, ...]:
    """IPv4 addresses embedded in an IPv6 address: mapped, 6to4, Teredo, NAT64."""
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo
    return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),) if address in _NAT64 else ()


def is_internal_hostname(host: str) -> bool:
    """Whether a host name is internal: its meaning depends on the machine or cluster that resolves it."""
    labels = host.split(".")
    return len(labels) == 1 or labels[-1] in _INTERNAL_SUFFIXES or "svc" in labels[1:]


class StoreAllowlist:
    """The object stores that the gateway may connect to."""

    def __init__(self, *, listed: Iterable[str] = (), configured: Iterable[str | None] = ()) -> None:
        """Reads the operator's list.

        Args:
            listed: origins; if there are any, endpoints of the catalog must be among them.
            configured: URLs of stores in the settings; they count as listed, but do not restrict the catalog.

        Raises:
            ValueError: one of them is not an http(s) URL.
        """
        self._strict = frozenset(origin_of(url) for url in listed)
        self._known = self._strict | {origin_of(url) for url in configured if url is not None}

    def knows(self, host: str, port: int) -> bool:
        """Whether the operator has listed this host, so that all of its addresses are allowed."""
        return any((host, port) == origin[1:] for origin in self._known)

    def check_allowed(self, url: str) -> None:
        """Checks the URL of a store, before DNS resolution and connection.

        Raises:
            GatewayError: OBJECT_UNSUPPORTED.
        """
        if not self.may_be_asked(url):
            raise GatewayError(ErrorCode.OBJECT_UNSUPPORTED, why="its store is not on the gateway's allowlist")

    def may_be_asked(self, url: str) -> bool:
        """Whether the URL is allowed; a rejected endpoint of the catalog is logged."""
        try:
            origin = origin_of(url)
        except ValueError:
            log.error("an endpoint of the catalog is not an http or https URL")  # noqa: TRY400 - the message is enough
            return False
        if origin in self._known or (not self._strict and may_be_allowed(origin[1], is_forbidden_address)):
            return True
        log.error("an endpoint of the catalog is not on the allowlist (OSFAAS_STORE_ALLOWLIST): %s://%s:%d", *origin)
        return False


def may_be_allowed(host: str, is_forbidden: Callable[[Address], bool]) -> bool:
    """Whether a host that is not listed may be allowed, before DNS resolution."""
    try:
        return not is_forbidden(ipaddress.ip_address(host))
    except ValueError:
        # A last label that begins with a digit is an address in another notation: octal, hexadecimal, shortened.
        return not is_internal_hostname(host) and not host.rpartition(".")[2][:1].isdigit()
