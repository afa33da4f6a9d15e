"""Registry, token endpoint and Keystone, all real: who may push and pull what, and a build with a credential."""

import base64
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from registries import package_index, push_base, registry
from test_builds import zip_of

from builds.errors import RegistryError
from builds.layers import blob_of
from builds.registry import Login, Registry
from control.registry.tokens import Grant, SigningKey, claims_of
from localcloud.ports import free_ports
from localcloud.services import Service
from localcloud.stack import running, write_tenants
from tenancy.registry_credentials import CredentialSigner
from tests.machine import scaled


@dataclass(frozen=True)
class Site:
    """A registry with token authentication, the key of its tokens, and that of the controller's credentials."""

    url: str
    tokens: str
    key: SigningKey
    log: Path
    credential_key: Path
    registry: Service
    endpoint: Service

    def ask(self, user: str, password: str, *scopes: str, service: str = "osfaas-registry") -> httpx.Response:
        query = [("service", service), *(("scope", scope) for scope in scopes)]
        return httpx.get(self.tokens, params=query, auth=(user, password), timeout=scaled(60), trust_env=False)

    def access(self, user: str, password: str, *scopes: str) -> list[dict[str, object]]:
        """What the token of an answer allows."""
        response = self.ask(user, password, *scopes)
        assert response.status_code == 200, response.text
        body = response.json()["token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        assert claims["exp"] - claims["iat"] == response.json()["expires_in"] == 300
        return claims["access"]

    def head(self, path: str, token: str) -> int:
        return httpx.get(
            f"{self.url}/v2/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=scaled(60), trust_env=False
        ).status_code

    def signed(self, project: str, *, key: SigningKey | None = None, **other: object) -> str:
        """A token of our own that allows to pull, with other claims."""
        grant = Grant("repository", f"{project}/x", ("pull",))
        known = {
            "subject": "u",
            "issuer": "osfaas",
            "audience": "osfaas-registry",
            "now": int(time.time()),
            "seconds": 60,
        }
        return (key or self.key).sign(claims_of([grant], **{**known, **other}))


@pytest.fixture(scope="module")
def site(cloud, tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("registry")
    private = folder / "key.pem"
    private.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    jwks = folder / "jwks.json"
    command = [sys.executable, "-m", "client.cli", "registry-tokens"]
    credential_key, public = folder / "credential.pem", folder / "credential.pub"
    credential_key.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(CredentialSigner.from_file(credential_key).public_key())
    environment = {
        "OSFAAS_REGISTRY_TOKEN_KEY_FILE": str(private),
        "OSFAAS_REGISTRY_CREDENTIAL_KEY_FILE": str(public),
    }
    jwks.write_bytes(subprocess.check_output([*command, "--jwks"], env={**os.environ, **environment}))
    tenants = folder / "tenants.yaml"
    write_tenants(tenants, {cloud.users[user].project_id: "http://127.0.0.1:9" for user in ("alice", "bob")})
    (port,) = free_ports(1)
    settings = {
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "osfaas",
        "OSFAAS_LISTEN_PORT": str(port),
        "OSFAAS_TENANTS_FILE": str(tenants),
        "OSFAAS_KEYSTONE_TIMEOUT_SECONDS": str(scaled(5)),
        # So that a test can be a client of its own.
        "OSFAAS_REGISTRY_TRUSTED_PROXIES": "1",
        **environment,
    }
    tokens = f"http://127.0.0.1:{port}/v1/registry/token"
    auth = {
        "token": {
            "realm": tokens,
            "service": "osfaas-registry",
            "issuer": "osfaas",
            "jwks": str(jwks),
            "signingalgorithms": ["ES256"],
        }
    }
    endpoint = Service("registry-tokens", command, port, folder, settings)
    with running(endpoint), registry(folder, auth=auth) as service:
        yield Site(
            f"http://127.0.0.1:{service.port}",
            tokens,
            SigningKey.from_file(private),
            endpoint.log,
            credential_key,
            service,
            endpoint,
        )


@pytest.fixture(scope="module")
def alice(cloud):
    return cloud.users["alice"].project_id


@pytest.fixture(scope="module")
def bob(cloud):
    return cloud.users["bob"].project_id


@pytest.fixture(scope="module")
def credential(cloud) -> tuple[str, str]:
    """Id and secret of alice's application credential."""
    identifier, secret = cloud.seed.application_credentials["plain"]
    return identifier, secret


def pushing(site: Site, user: str, password: str, http: httpx.Client) -> Registry:
    login = Login(user=user, password=password, token_url=site.tokens)
    return Registry(site.url, login, http, sleep=lambda _: None)


def test_no_login_and_wrong_logins_are_refused_with_a_challenge(site, cloud, credential) -> None:
    identifier, secret = credential
    logins = [
        (identifier, "wrong"),
        (identifier, ""),
        ("0" * 32, secret),
        ("alice", cloud.users["alice"].password),
        ("token", "gAAAA-not-a-token"),
        ("token", "ü"),
        ("", cloud.token("alice")),
        (identifier, "x" * 600),
    ]
    for user, password in logins:
        response = site.ask(user, password)
        assert response.status_code == 401, (user, response.text)
        assert response.headers["www-authenticate"].startswith('Basic realm="')
    for fields in ({}, {"Authorization": "Basic ???"}, {"Authorization": f"Bearer {cloud.token('alice')}"}):
        query = {"service": "osfaas-registry"}
        found = httpx.get(site.tokens, params=query, headers=fields, timeout=scaled(60), trust_env=False)
        assert (found.status_code, found.json()["errors"][0]["code"]) == (401, "registry.login_failed")


def test_what_is_malformed_costs_no_question_to_keystone(site, cloud) -> None:
    before = cloud.keystone_requests("POST", "/v3/auth/tokens") + cloud.keystone_requests("GET", "/v3/auth/tokens")
    for user, password in (("alice", "x"), ("token", "short"), ("0" * 31, "x"), ("0" * 32, "x" * 600)):
        assert site.ask(user, password).status_code == 401
    assert site.ask("0" * 32, "x", "nonsense").status_code == 400
    assert site.ask("0" * 32, "x", service="other").status_code == 400
    after = cloud.keystone_requests("POST", "/v3/auth/tokens") + cloud.keystone_requests("GET", "/v3/auth/tokens")
    assert after == before


@contextlib.contextmanager
def strict(site: Site) -> Iterator[Site]:
    """With an endpoint that takes one login, and one more in a minute, so that no machine is slow enough for it."""
    given, (port,) = site.endpoint, free_ports(1)
    settings = {**given.env, "OSFAAS_LISTEN_PORT": str(port), "OSFAAS_REGISTRY_LOGINS_PER_MINUTE": "1"}
    with running(Service("registry-tokens-strict", given.command, port, given.state, settings)):
        yield dataclasses.replace(site, tokens=f"http://127.0.0.1:{port}/v1/registry/token")


def test_a_project_that_logs_in_too_often_keeps_no_other_at_its_address_from_it(site, cloud) -> None:
    """Many are behind one address: users of a network, and the functions API for all."""
    token = cloud.token("alice")

    def questions() -> int:
        return cloud.keystone_requests("GET", "/v3/auth/tokens")

    with strict(site) as endpoint:
        assert endpoint.ask("token", token).status_code == 200
        before = questions()
        assert [endpoint.ask("token", token).status_code for _ in range(4)] == [429] * 4
        # The token is known to be of the project that has had its login.
        assert questions() == before
        assert endpoint.ask("token", cloud.token("bob")).status_code == 200


def test_a_client_that_guesses_is_refused_before_keystone_is_asked(site, cloud) -> None:
    """Another client is served meanwhile, and the address that the guesser itself writes before the proxy's is none."""

    def guess(endpoint: Site, number: int) -> httpx.Response:
        return httpx.get(
            endpoint.tokens,
            params={"service": "osfaas-registry"},
            auth=("0" * 32, f"guess-{number}"),
            headers={"X-Forwarded-For": f"10.0.0.{number}, 192.0.2.7"},
            timeout=scaled(60),
            trust_env=False,
        )

    with strict(site) as endpoint:
        assert guess(endpoint, 1).status_code == 401
        before = cloud.keystone_requests("POST", "/v3/auth/tokens")
        refused = guess(endpoint, 2)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "registry.logins_exceeded")
        assert int(refused.headers["retry-after"]) >= 1
        assert cloud.keystone_requests("POST", "/v3/auth/tokens") == before
        assert endpoint.ask("token", cloud.token("alice")).status_code == 200


def test_other_projects_repository_is_not_granted(site, credential, alice, bob) -> None:
    assert site.access(*credential, f"repository:{bob}/x:pull,push", "registry:catalog:*") == []
    assert site.access(*credential, f"repository:{alice}/x:pull,push,delete", "repository:base/asgi:pull,push") == [
        {"type": "repository", "name": f"{alice}/x", "actions": ["pull", "push"]},
        {"type": "repository", "name": "base/asgi", "actions": ["pull"]},
    ]


def test_credential_whose_access_rules_are_for_other_paths_is_refused(site, cloud) -> None:
    identifier, secret = cloud.seed.application_credentials["no-store"]
    assert site.ask(identifier, secret).status_code == 403


def test_project_that_is_not_onboarded_gets_no_token(site, cloud) -> None:
    response = site.ask("token", cloud.token("carol"))
    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "tenant.not_onboarded")


def test_unscoped_token_is_refused(site, cloud) -> None:
    assert site.ask("token", cloud.unscoped_token("alice")).status_code == 403


def test_controllers_credential_reaches_one_project_for_its_time(site, alice, bob) -> None:
    """A build pushes to its own project; the kubelet pulls there, and nothing else."""
    signer = CredentialSigner.from_file(site.credential_key)
    found = signer.credentials_of(alice, time.time())
    scopes = (
        f"repository:{alice}/x:pull,push,delete",
        f"repository:{bob}/x:pull,push",
        "repository:base/asgi:pull,push",
    )
    base = {"type": "repository", "name": "base/asgi", "actions": ["pull"]}
    own = {"type": "repository", "name": f"{alice}/x"}
    assert site.access("workload", found.push, *scopes) == [{**own, "actions": ["pull", "push"]}, base]
    assert site.access("workload", found.pull, *scopes) == [{**own, "actions": ["pull"]}, base]
    stranger = CredentialSigner(ed25519.Ed25519PrivateKey.generate()).credentials_of(alice, time.time())
    old = signer.credentials_of(alice, time.time() - 48 * 3600)
    early = signer.credentials_of(alice, time.time() + 48 * 3600)
    head, body, signature = found.push.split(".")
    forged = [f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.", "a.b.c", "", found.push + "x"]
    for password in (stranger.push, old.push, old.pull, early.pull, *forged):
        assert site.ask("workload", password, scopes[0]).status_code == 401
    # Nor is it a login of another user name, or a token of Keystone.
    assert site.ask("token", found.push, scopes[0]).status_code == 401


def test_controllers_credential_of_a_project_that_is_not_onboarded_is_worth_nothing(site, cloud) -> None:
    signer = CredentialSigner.from_file(site.credential_key)
    carol = signer.credentials_of(cloud.users["carol"].project_id, time.time())
    assert site.ask("workload", carol.pull).status_code == 403


def test_revoked_token_is_refused(site, cloud) -> None:
    token = cloud.token("alice")
    assert site.ask("token", token).status_code == 200
    cloud.revoke(token)
    assert site.ask("token", token).status_code == 401


def test_registry_refuses_what_we_did_not_sign_or_no_longer(site, alice) -> None:
    """404: the token was good enough to look for the repository."""
    path = f"{alice}/x/tags/list"
    assert site.head(path, site.signed(alice)) == 404
    assert site.head(path, site.signed(alice, key=SigningKey(ec.generate_private_key(ec.SECP256R1())))) == 401
    now = int(time.time())
    assert site.head(path, site.signed(alice, now=now - 3600)) == 401
    assert site.head(path, site.signed(alice, now=now + 3600)) == 401
    assert site.head(path, site.signed(alice, audience="other")) == 401
    assert site.head(path, site.signed(alice, issuer="other")) == 401
    head, body, signature = site.signed(alice).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    assert site.head(path, f"{none}.{body}.") == 401
    assert site.head(path, f"{head}.{body[:-4]}AAAA.{signature}") == 401
    assert site.head("_catalog", site.signed(alice)) == 401


def test_push_with_own_credential_and_no_pull_or_mount_by_another_project(
    site, cloud, credential, alice, bob, tmp_path
) -> None:
    blob = blob_of(b"alice's layer", tmp_path / "blob")
    with httpx.Client(timeout=scaled(60), trust_env=False) as http:
        assert pushing(site, *credential, http).push_blob(f"{alice}/x", blob)
        assert pushing(site, *credential, http).blob(f"{alice}/x", blob.digest) == b"alice's layer"
        with pytest.raises(RegistryError, match="refused to write"):
            pushing(site, *credential, http).push_blob(f"{bob}/x", blob)
        bobs = ("token", cloud.token("bob"))
        with pytest.raises(RegistryError, match="refused to read"):
            pushing(site, *bobs, http).blob(f"{alice}/x", blob.digest)
        # A digest is no secret; whoever knows it must not get the blob by mounting it.
        with pytest.raises(RegistryError):
            pushing(site, *bobs, http).mount(f"{bob}/x", blob.digest, f"{alice}/x", tmp_path)
        with pytest.raises(RegistryError):
            pushing(site, *bobs, http).blob(f"{bob}/x", blob.digest)


def test_credential_goes_to_the_named_token_endpoint_only(site, credential, alice, tmp_path) -> None:
    """A registry that is taken over would name its own."""
    login = Login(user=credential[0], password=credential[1], token_url="http://127.0.0.1:9/token")
    with httpx.Client(timeout=scaled(60), trust_env=False) as http, pytest.raises(RegistryError, match="names another"):
        Registry(site.url, login, http).push_blob(f"{alice}/x", blob_of(b"x", tmp_path / "blob"))
    assert credential[1] not in repr(login)


def test_build_pushes_with_a_tenants_credential(site, credential, alice, bob, tmp_path) -> None:
    """Base images are pushed by the operator, whose token is not of the endpoint."""
    operator = site.key.sign(
        claims_of(
            [Grant("repository", "base/asgi", ("pull", "push"))],
            subject="operator", issuer="osfaas", audience="osfaas-registry", now=int(time.time()), seconds=300,
        )
    )  # fmt: skip
    base = push_base(site.url, "base/asgi", "asgi", tmp_path / "base", token=operator)
    archive = tmp_path / "archive"
    archive.write_bytes(zip_of({"func.py": "async def handle(scope, receive, send): pass\n"}))
    secret = tmp_path / "credential"
    secret.write_text(":".join(credential) + "\n")

    def build(repository: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "OSFAAS_BUILD_SOURCE": str(archive),
            "OSFAAS_BUILD_REPOSITORY": repository,
            "OSFAAS_BUILD_REGISTRY_URL": site.url,
            "OSFAAS_BUILD_TOKEN_URL": site.tokens,
            "OSFAAS_BUILD_CREDENTIAL_FILE": str(secret),
            "OSFAAS_BUILD_BASES": f"asgi={base}",
        }
        with package_index(tmp_path) as (index, _):
            return subprocess.run(
                [Path(sys.executable).with_name("osfaas-build")],
                env={**environment, "OSFAAS_BUILD_INDEX_URL": index},
                capture_output=True, text=True, check=False, timeout=scaled(200),
            )  # fmt: skip

    done = build(f"{alice}/hello")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["image"].startswith(f"{alice}/hello@sha256:")
    refused = build(f"{bob}/hello")
    assert (refused.returncode, "refused to write" in refused.stderr) == (65, True), refused.stderr


def test_every_request_is_audited_without_its_secrets(site, cloud, credential, alice) -> None:
    token = cloud.token("alice")
    issued = site.ask("token", token, f"repository:{alice}/audited:pull").json()["token"]
    site.ask(credential[0], "wrong-secret")
    log = site.log.read_text()
    assert f"granted={alice}/audited:pull" in log
    assert '"outcome": "failure"' in log or '\\"outcome\\": \\"failure\\"' in log
    for secret in (token, issued, credential[1], "wrong-secret"):
        assert secret not in log
