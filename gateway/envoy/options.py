"""Options of the configuration that are not settings of the gateway: addresses, and files of the certificate."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.settings.server import ServerSettings

# Wildcard addresses, and where a process on the same machine reaches what listens on them.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address: an IP address or a host name, and a port."""

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of the certificate chain and of its key, by the paths at which Envoy reads them."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyOptions:
    """Addresses and files.

    Attributes:
        listen: where callers connect.
        gateways: the processes of the gateway, which share the calls.
        certificate: of the listener; without it the listener speaks plain HTTP.
        admin: Envoy's administration interface, which anybody who reaches it may use; None is off.
    """

    listen: Address
    gateways: tuple[Address, ...]
    certificate: Certificate | None = None
    admin: Address | None = None


def address_of(text: str) -> Address:
    """Parses `host:port` or `[IPv6 address]:port`.

    Raises:
        ValueError: it is something else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.netloc != text or "@" in text:
        raise ValueError(f"{text!r} is not an address and a port, such as 127.0.0.1:8080")
    return Address(host, port)


def gateway_address(settings: ServerSettings) -> Address:
    """The address of a gateway on the same machine with these settings."""
    return Address(_LOOPBACK.get(settings.listen_host, settings.listen_host), settings.listen_port)
