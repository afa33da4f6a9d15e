"""Checks of a token without Keystone: its position in the request, and its format."""

import base64
import binascii
import math

from gateway.errors import ErrorCode, GatewayError
from gateway.http.head import RequestHead
from gateway.settings.identity import IdentitySettings

MAX_TOKEN_CHARS = 8_192

# Fernet (github.com/fernet/spec): version 0x80, 64-bit big-endian seconds, 128-bit IV, blocks of AES-CBC,
# 256-bit HMAC. Keystone strips the padding of the base64.
_VERSION = 0x80
_BEFORE_BLOCKS = 1 + 8 + 16
_HMAC = 32
_BLOCK = 16


def token_of(head: RequestHead) -> str:
    """The one token of a request.

    Raises:
        GatewayError: TOKEN_MISSING, TOKEN_AMBIGUOUS, or TOKEN_INVALID for what cannot be a token.
    """
    found, authorizations = [], []
    for name, value in head.fields:
        if name == b"x-auth-token":
            found.append(value.decode("latin-1"))
        elif name == b"authorization":
            authorizations.append(value.decode("latin-1"))
    for authorization in authorizations:
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() != "bearer":
            # With a token and another scheme, it is ambiguous which one counts.
            raise GatewayError(ErrorCode.TOKEN_AMBIGUOUS if found else ErrorCode.TOKEN_MISSING)
        found.append(rest)
    if len(found) > 1:
        raise GatewayError(ErrorCode.TOKEN_AMBIGUOUS)
    token = found[0].strip() if found else ""
    if not token:
        raise GatewayError(ErrorCode.TOKEN_MISSING)
    if len(token) > MAX_TOKEN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise GatewayError(ErrorCode.TOKEN_INVALID)
    return token


def fernet_issued_at(token: str) -> int:
    """Issue time in a Fernet token (seconds since the epoch). Unverified: only Keystone can verify it.

    Raises:
        ValueError: it is not in Fernet's format.
    """
    try:
        # altchars with validate, because the plain urlsafe decoder skips characters that it does not know.
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    blocks = len(raw) - _BEFORE_BLOCKS - _HMAC
    if blocks < _BLOCK or blocks % _BLOCK or raw[0] != _VERSION:
        raise ValueError("not of Fernet's form")
    return int.from_bytes(raw[1:9], "big")


def reject_malformed(token: str, settings: IdentitySettings, *, now: float) -> None:
    """Rejects a token that Keystone cannot accept: not Fernet, too long, from the future, or too old.

    Raises:
        GatewayError: TOKEN_INVALID.
    """
    if settings.token_format != "fernet":  # noqa: S105 - a format, not a token
        return
    if len(token) > settings.token_max_chars:
        raise GatewayError(ErrorCode.TOKEN_INVALID)
    try:
        issued_at = fernet_issued_at(token)
    except ValueError as error:
        raise GatewayError(ErrorCode.TOKEN_INVALID) from error
    oldest = now - settings.token_max_age_seconds if settings.token_max_age_seconds else -math.inf
    if not oldest <= issued_at <= now + settings.clock_skew_seconds:
        raise GatewayError(ErrorCode.TOKEN_INVALID)
