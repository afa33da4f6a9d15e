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
from gateway.objects.allowlist import Address, embedded_addresses, is_forbidden_address, may_be_allowed, origin_of

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
        if origin not in self._listed and not may_be_allowed(origin[1], is_private_address):
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
