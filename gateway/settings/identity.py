"""Settings of identity.

The gateway's own credential is not a setting: it comes from where OpenStack's tools look for one (`OS_CLOUD` with
`clouds.yaml`, or `OS_AUTH_URL`, `OS_APPLICATION_CREDENTIAL_ID`, …).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Group, Words


class TokenCacheSettings(Group):
    """Settings of the token cache."""

    token_cache_seconds: float = Field(
        30,
        ge=0,
        le=30,
        description="Lifetime of a validated token in the cache; a revoked token may stay valid as long.",
    )
    token_stale_seconds: float = Field(
        60,
        ge=0,
        le=300,
        description="How much longer a validated token stays valid while Keystone does not answer. A token that is "
        "revoked meanwhile may stay valid as long. 0: no longer.",
    )
    token_rejection_cache_seconds: float = Field(10, ge=0, description="Lifetime of a rejected token in the cache.")
    token_cache_entries: int = Field(10_000, ge=1, description="Maximum number of tokens in the cache.")


class IdentitySettings(TokenCacheSettings):
    """Settings of identity."""

    service_type: str = Field(
        "function", description="Service type of the gateway in Keystone's catalog and in access rules."
    )
    www_authenticate_uri: str | None = Field(
        None,
        description="Identity URL shown to callers without a valid token. Default: the credential's auth_url.",
    )
    keystone_timeout_seconds: float = Field(5, gt=0, description="Timeout of one request to Keystone.")
    token_validation_concurrency: int = Field(
        16,
        ge=1,
        description="Maximum concurrent Keystone validations per process, for tokens that were not accepted recently. "
        "A flood of made-up tokens queues here; after OSFAAS_KEYSTONE_TIMEOUT_SECONDS in the queue a request gets 503.",
    )
    token_format: Literal["fernet", "any"] = Field(
        "fernet",
        description="With 'fernet', tokens in another format are rejected without asking Keystone. Use 'any' for "
        "JWS tokens.",
    )
    token_max_age_seconds: int = Field(
        86_400,
        ge=0,
        description="Maximum age of Fernet tokens. Must not be below Keystone's token expiration; 0: no limit.",
    )
    token_max_chars: int = Field(
        512,
        ge=255,
        le=8_192,
        description="Maximum length of Fernet tokens. Must not be below Keystone's max_token_size, which is raised "
        "where "
        "federated users have many groups.",
    )
    clock_skew_seconds: int = Field(
        60, ge=0, description="Maximum time that a token's issue time may lie in the future."
    )
    stream_recheck_seconds: float = Field(
        30,
        gt=0,
        description="How often the token, policy rule and tenant of an invocation are checked again while its reply is "
        "streamed or its WebSocket is open. After a revocation a stream goes on for at most this time and "
        "OSFAAS_TOKEN_CACHE_SECONDS.",
    )
    policy_file: Path | None = Field(
        None,
        description="File with policy rules, in oslo.policy's form, in place of the defaults: who may do what. It is "
        "re-read when it changes. A file without a rule is refused. Default: none.",
    )
    admin_projects: Words = Field(
        (),
        description="Ids of projects whose tokens have is_admin_project:True in policy rules: by default the role "
        "admin counts there too. A user who may assign roles on one of them is an administrator of all tenants. "
        "Default: none, so tokens must be scoped to the system.",
    )
    service_projects: Words = Field(
        (),
        description="Ids of projects whose tokens have is_service_project:True in policy rules: by default the role "
        "service, of callers such as Dynafed, counts there, and takes the rights of members and readers away. "
        "Default: none.",
    )
