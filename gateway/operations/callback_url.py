"""Which URLs may be called back: https only, and public addresses only (SSRF).

The worker checks again when it calls.
"""

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.errors import ErrorCode, GatewayError
from gateway.objects.allowlist import Address, embedded_addresses, is_forbidden_address, is_internal_hostname, origin_of

_MAX_CHARS = 2_048


class CallbackAllowlist:
    """The receivers that may be called back: public ones, and those that the operator lists."""

    def __init__(self, listed: Iterable[str]) -> None:
        """`listed`: origins.

        Raises:
            ValueError: one of them is no https URL.
        """
        self._listed = frozenset(origin_of(url) for url in listed)
        if any(scheme != "https" for scheme, _, _ in self._listed):
            raise ValueError("OSFAAS_CALLBACK_ALLOWLIST: callbacks are https only")

    def check(self, url: str) -> None:
        """Checks a URL before DNS resolution.

        Raises:
            GatewayError: CALLBACK_REJECTED.
        """
        if len(url) > _MAX_CHARS or not url.isascii() or not url.isprintable() or " " in url:
            raise _rejected("it is too long, or has a character that must be percent-encoded")
        try:
            origin = origin_of(url)
        except ValueError as error:
            raise _rejected("it is not the https URL of a host, without a user") from error
        if origin[0] != "https" or urlsplit(url).fragment:
            raise _rejected("it must begin with https://, and have no fragment")
        if origin not in self._listed and not _may_be_public(origin[1]):
            raise _rejected("its host is not a public one, and the operator has not listed it")

    def knows(self, host: str, port: int) -> bool:
        """Whether the operator has listed this host, so that all of its addresses are allowed."""
        return any((host, port) == origin[1:] for origin in self._listed)


def is_private_address(address: Address) -> bool:
    """Whether a receiver at this address is called back only if the operator lists it."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = embedded_addresses(address)
        if embedded:
            return any(is_private_address(each) for each in embedded)
    return is_forbidden_address(address) or not address.is_global


def _may_be_public(host: str) -> bool:
    try:
        return not is_private_address(ipaddress.ip_address(host))
    except ValueError:
        # A last label that begins with a digit is an address in another notation: octal, hexadecimal, shortened.
        return not is_internal_hostname(host) and not host.rpartition(".")[2][:1].isdigit()


def _rejected(why: str) -> GatewayError:
    return GatewayError(ErrorCode.CALLBACK_REJECTED, why=why)


def signing_keys(secrets: str | None, project_id: str) -> tuple[str, ...]:
    """The keys with which callbacks of a project are signed (`whsec_…`, Standard Webhooks); the first one is shown.

    `secrets`: see `OSFAAS_CALLBACK_KEYS`.
    """
    words = [word.strip() for word in (secrets or "").split(",") if word.strip()]
    return tuple(
        "whsec_" + base64.b64encode(hmac.new(word.encode(), project_id.encode(), hashlib.sha256).digest()).decode()
        for word in words
    )
