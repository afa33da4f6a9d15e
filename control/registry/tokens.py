"""Tokens of the registry: JWT with ES256, as distribution's token authentication wants them."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_P256_BYTES = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows: actions on a repository."""

    kind: str
    name: str
    actions: tuple[str, ...]


class SigningKey:
    """A private key on the curve P-256, and its id."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        self._public = {
            "crv": "P-256",
            "kty": "EC",
            "x": _base64(numbers.x.to_bytes(_P256_BYTES, "big")),
            "y": _base64(numbers.y.to_bytes(_P256_BYTES, "big")),
        }
        # RFC 7638: the thumbprint, so that a key has the same id everywhere.
        self.key_id = _base64(hashlib.sha256(_json(self._public)).digest())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Reads a PEM file without a passphrase.

        Raises:
            ValueError: it cannot be read, or is no private key on P-256.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(f"OSFAAS_REGISTRY_TOKEN_KEY_FILE {path} has no private key: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(  # noqa: TRY004 - of a file, not of an argument
                f"OSFAAS_REGISTRY_TOKEN_KEY_FILE {path} must have a private key on the curve P-256"
            )
        return cls(key)

    def jwks(self) -> dict[str, Any]:
        """The public key, in the form that the registry's `auth.token.jwks` names a file of."""
        return {"keys": [{**self._public, "kid": self.key_id, "use": "sig", "alg": "ES256"}]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT with these claims."""
        head = {"alg": "ES256", "kid": self.key_id, "typ": "JWT"}
        signed = f"{_base64(_json(head))}.{_base64(_json(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(_P256_BYTES, 'big') + s.to_bytes(_P256_BYTES, 'big'))}"


def claims_of(
    grants: Sequence[Grant], *, subject: str, issuer: str, audience: str, now: int, seconds: int
) -> dict[str, Any]:
    """The claims of a token.

    Args:
        grants: what it allows; none is a valid login without rights.
        subject: id of the user.
        issuer: as in the registry's `auth.token.issuer`.
        audience: as in its `auth.token.service`.
        now: seconds since the epoch.
        seconds: how long the token is valid.
    """
    return {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
        "jti": secrets.token_hex(16),
        "access": [{"type": grant.kind, "name": grant.name, "actions": list(grant.actions)} for grant in grants],
    }


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
