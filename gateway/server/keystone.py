"""Builds the Keystone client from the settings, for the gateway and for the administrators' API."""

import httpx

from gateway.circuit import CircuitRules
from gateway.identity.credential import IdentityService
from gateway.identity.keystone import Keystone
from gateway.identity.tokens import TokenForm
from gateway.settings import Settings


def build_keystone(settings: Settings, identity: IdentityService, http: httpx.AsyncClient) -> Keystone:
    """The client that validates tokens."""
    return Keystone(
        http,
        auth_url=identity.auth_url,
        credential=identity.credential,
        timeout_seconds=settings.keystone_timeout_seconds,
        circuit=circuit_rules(settings),
    )


def circuit_rules(settings: Settings) -> CircuitRules:
    """When the circuit to Keystone, or to the store, opens."""
    return CircuitRules(failures=settings.circuit_failures, seconds=settings.circuit_seconds)


def token_form(settings: Settings) -> TokenForm:
    """Format checks that a token must pass before Keystone is asked."""
    return TokenForm(
        fernet_only=settings.token_format == "fernet",  # noqa: S105 - a format, not a token
        max_age_seconds=settings.token_max_age_seconds,
        skew_seconds=settings.clock_skew_seconds,
        max_chars=settings.token_max_chars,
    )
