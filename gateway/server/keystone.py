"""Builds the Keystone client from the settings, for the gateway and for the administrators' API."""

import httpx

from gateway.circuit import CircuitRules
from gateway.identity.credential import IdentityService
from gateway.identity.keystone import Keystone
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
