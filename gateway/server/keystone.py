"""How Keystone is asked, out of the settings; the gateway and the administrators' application ask alike."""

import httpx

from gateway.circuit import CircuitRules
from gateway.identity.credential import IdentityService
from gateway.identity.keystone import Keystone
from gateway.identity.tokens import TokenForm
from gateway.settings import Settings


def build_keystone(settings: Settings, identity: IdentityService, http: httpx.AsyncClient) -> Keystone:
    """The Keystone that knows callers."""
    return Keystone(
        http,
        auth_url=identity.auth_url,
        credential=identity.credential,
        timeout_seconds=settings.keystone_timeout_seconds,
        circuit=circuit_rules(settings),
    )


def circuit_rules(settings: Settings) -> CircuitRules:
    """When Keystone, or the store, is not asked any more."""
    return CircuitRules(failures=settings.circuit_failures, seconds=settings.circuit_seconds)


def token_form(settings: Settings) -> TokenForm:
    """What a token has to look like for Keystone to be asked about it."""
    return TokenForm(
        fernet_only=settings.token_format == "fernet",  # noqa: S105 - a format, not a token
        max_age_seconds=settings.token_max_age_seconds,
        skew_seconds=settings.clock_skew_seconds,
        max_chars=settings.token_max_chars,
    )
