"""Settings of the registry's token endpoint."""

from pathlib import Path

from pydantic import Field

from gateway.settings.base import Group


class RegistrySettings(Group):
    """Settings of the registry's token endpoint."""

    registry_service: str = Field(
        "osfaas-registry", description="Name of the registry, as in its configuration (auth.token.service)."
    )
    registry_token_issuer: str = Field(
        "osfaas", description="Issuer of the registry's tokens, as in its configuration (auth.token.issuer)."
    )
    registry_token_key_file: Path | None = Field(
        None,
        description="PEM file with the private key, on the curve P-256, that signs the registry's tokens. "
        "`osfaas registry-tokens --jwks` prints its public key for the registry (auth.token.jwks).",
    )
    registry_credential_key_file: Path | None = Field(
        None,
        description="PEM file with the public key, of Ed25519, of the controller. With it, the endpoint accepts the "
        "credentials that the controller signs for builds and for the kubelet.",
    )
    registry_ca_file: Path | None = Field(
        None,
        description="PEM file with the authorities that sign the certificates of the registry and of its token "
        "endpoint; default: those of the system. `/v1/functions` stores archives in the registry.",
    )
    registry_token_seconds: int = Field(
        300,
        ge=60,
        le=3600,
        description="Lifetime of a registry's token. A credential that is revoked can pull and push as long.",
    )
    registry_logins_per_minute: int = Field(
        120,
        ge=1,
        description="Maximum logins at the token endpoint per minute and client address (of IPv6: per /64 network). "
        "Each costs Keystone one request; what is over it is rejected (429) without one. A login that is known to be a "
        "project's counts for that project at that address, and no longer for all: pulls of nodes, pushes of builds, "
        "and what Keystone accepted before. `/v1/functions` takes at most as many archives per minute of a project.",
    )
    registry_trusted_proxies: int = Field(
        0,
        ge=0,
        le=8,
        description="Number of proxies in front of the token endpoint that append the client's address to "
        "X-Forwarded-For. 0: the peer of the connection is the client.",
    )
    registry_base_prefix: str = Field(
        "base",
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=31,
        description="First part of the names of base images, which members and readers of all tenants may pull.",
    )
