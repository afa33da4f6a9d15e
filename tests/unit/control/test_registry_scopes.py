"""Which repositories a project may pull from and push to."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from control.registry.scopes import MAX_SCOPES, Scope, granted, parse_scopes
from control.registry.tokens import Grant, SigningKey, claims_of
from gateway.errors import GatewayError

OWN, OTHER = "a" * 32, "b" * 32


def actions(
    name: str, *permitted: str, kind: str = "repository", wanted: tuple[str, ...] = ("pull", "push", "delete", "*")
):
    return granted(Scope(kind, name, wanted), OWN, permitted, "base")


@pytest.mark.parametrize(
    "name",
    [
        f"{OTHER}/x",
        f"x/{OWN}/y",
        OWN,
        f"{OWN}/",
        f"{OWN}x/y",
        f"{OWN}/../{OTHER}/x",
        f"{OWN}/..",
        f"{OWN}//x",
        f"/{OWN}/x",
        f"{OWN}/X",
        f"{OWN}/x\n",
        f"{OWN}%2f..%2f{OTHER}/x",
        "base",
        "",
        "*",
    ],
)
def test_repository_that_is_not_the_projects_is_not_granted(name: str) -> None:
    assert actions(name, "pull", "push") == ()


def test_other_kinds_are_not_granted() -> None:
    """The catalogue of a registry has the names of all tenants' repositories."""
    assert actions("catalog", "pull", "push", kind="registry") == ()
    assert actions(f"{OWN}/x", "pull", "push", kind="repository(plugin)") == ()


def test_what_policy_rules_permit_decides() -> None:
    assert actions(f"{OWN}/x") == ()
    assert actions(f"{OWN}/x", "pull") == ("pull",)
    assert actions(f"{OWN}/x", "push") == ("push",)
    assert actions(f"{OWN}/x/y", "pull", "push") == ("pull", "push")


def test_base_images_are_pulled_by_all_and_pushed_by_none() -> None:
    assert actions("base/asgi", "pull", "push") == actions("base/asgi", "pull") == ("pull",)
    assert actions("base/asgi") == ()
    # Not even by a project whose id is the prefix.
    assert granted(Scope("repository", "base/asgi", ("push",)), "base", ["push"], "base") == ()


def test_nothing_is_granted_that_was_not_asked_for() -> None:
    assert actions(f"{OWN}/x", "pull", "push", wanted=("pull",)) == ("pull",)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "repository:x",
        "repository::pull",
        ":x:pull",
        "repository:x:PULL",
        "repository:x:",
        "repository:x:pull,",
        "r:x:" + "a" * 20,
        "r:" + "x" * 600 + ":pull",
    ],
)
def test_scope_that_is_none_is_malformed(value: str) -> None:
    with pytest.raises(GatewayError):
        parse_scopes([value])


def test_many_scopes_are_refused() -> None:
    assert len(parse_scopes(["repository:a/b:pull"] * MAX_SCOPES)) == MAX_SCOPES
    with pytest.raises(GatewayError):
        parse_scopes([" ".join(["repository:a/b:pull"] * (MAX_SCOPES + 1))])


def test_scopes_are_read_as_docker_writes_them() -> None:
    assert parse_scopes(["repository:a/b:pull,push,pull repository:host:5000/c:pull"]) == (
        Scope("repository", "a/b", ("pull", "push")),
        Scope("repository", "host:5000/c", ("pull",)),
    )


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"no key", pem(rsa.generate_private_key(65537, 2048)), pem(ec.generate_private_key(ec.SECP384R1()))],
    ids=["empty", "text", "RSA", "P-384"],
)
def test_file_without_the_right_key_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ValueError, match="OSFAAS_REGISTRY_TOKEN_KEY_FILE"):
        SigningKey.from_file(tmp_path / "key")


def test_token_is_signed_and_names_its_key(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key").write_bytes(pem(key))
    signing = SigningKey.from_file(tmp_path / "key")
    claims = claims_of(
        [Grant("repository", f"{OWN}/x", ("pull",))], subject="u", issuer="i", audience="s", now=1000, seconds=300
    )
    head, body, signature = signing.sign(claims).split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    encoded = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.public_key().verify(encoded, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "ES256", "kid": signing.key_id, "typ": "JWT"}
    assert signing.jwks()["keys"][0]["kid"] == signing.key_id
    assert not {"d"} & signing.jwks()["keys"][0].keys()
    decoded = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert (decoded["exp"], decoded["nbf"], decoded["aud"], decoded["iss"], decoded["sub"]) == (
        1300,
        1000,
        "s",
        "i",
        "u",
    )
    assert decoded["access"] == [{"type": "repository", "name": f"{OWN}/x", "actions": ["pull"]}]
