"""Credentials that the controller signs for the registry's token endpoint: one project, reading or writing, some hours.

They are JWTs with EdDSA (RFC 8037). The controller has the private key, the endpoint the public one, so that the
endpoint can give nobody such a credential. A credential has one form for a period, so that a Secret with it changes
once a period.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.names import ProjectId
from policies.own_function import RegistryCredentials
from tenancy.model.errors import PlatformFileError

_AUDIENCE = "osfaas-registry-credential"
_HEAD = {"alg": "EdDSA", "typ": "JWT"}
# A credential is valid for one to two periods. A tenant is read at least every six hours, which renews the first one.
PULL_PERIOD_SECONDS = 12 * 3600
PUSH_PERIOD_SECONDS = 1800
_PARTS, _MAX_CHARS = 3, 2_048
PULL, PUSH = "pull", "push"


@dataclass(frozen=True, slots=True)
class WorkloadCredential:
    """What a verified credential allows: actions on the repositories of a project."""

    project_id: ProjectId
    actions: frozenset[str]


class CredentialSigner:
    """Signs with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "CredentialSigner":
        """Reads a PEM file.

        Raises:
            PlatformFileError: it cannot be read, or has no private key of Ed25519.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise PlatformFileError(f"{path} has no private key: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise PlatformFileError(f"{path} must have a private key of Ed25519")
        return cls(key)

    def public_key(self) -> bytes:
        """The public key as PEM, for the token endpoint."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def credentials_of(self, project_id: ProjectId, now: float) -> RegistryCredentials:
        """Both credentials of a project, at a time in seconds since the epoch."""
        return RegistryCredentials(
            pull=self._sign(project_id, [PULL], now, PULL_PERIOD_SECONDS),
            push=self._sign(project_id, [PULL, PUSH], now, PUSH_PERIOD_SECONDS),
        )

    def _sign(self, project_id: ProjectId, actions: list[str], now: float, period: int) -> str:
        begin = int(now) // period * period
        claims = {"aud": _AUDIENCE, "sub": project_id, "actions": actions, "iat": begin, "exp": begin + 2 * period}
        signed = f"{_encode(_HEAD)}.{_encode(claims)}"
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


class CredentialVerifier:
    """Verifies with the public key."""

    def __init__(self, key: Ed25519PublicKey, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    @classmethod
    def from_file(cls, path: Path, clock: Callable[[], float]) -> "CredentialVerifier":
        """Reads a PEM file.

        Raises:
            ValueError: it cannot be read, or has no public key of Ed25519.
        """
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(f"{path} has no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"{path} must have a public key of Ed25519")  # noqa: TRY004 - of a file
        return cls(key, clock)

    def verify(self, credential: str) -> WorkloadCredential | None:
        """What a credential allows; None if it is not one, or not valid now."""
        parts = credential.split(".")
        if len(credential) > _MAX_CHARS or len(parts) != _PARTS or not credential.isascii():
            return None
        try:
            # The signature first: nothing else is parsed of what anybody may send.
            self._key.verify(_decode(parts[2]), f"{parts[0]}.{parts[1]}".encode())
            claims = json.loads(_decode(parts[1]))
            if json.loads(_decode(parts[0])) != _HEAD or claims["aud"] != _AUDIENCE:
                return None
            if not claims["iat"] - 60 <= self._clock() < claims["exp"]:
                return None
            return WorkloadCredential(ProjectId(claims["sub"]), frozenset(claims["actions"]))
        except (InvalidSignature, binascii.Error, ValueError, KeyError, TypeError):
            return None


def _encode(document: Mapping[str, Any]) -> str:
    return _base64(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
