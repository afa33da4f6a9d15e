"""Tokens of every kind that the real Keystone makes."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import httpx
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.machine import scaled

SUBJECT = "X-Subject-Token"
# As Apache's OpenID Connect module hands on who has logged in: a header, `HTTP_OIDC_SUB` in the environment.
ASSERTION = "OIDC-Sub"


def shown(cloud, token: str) -> Mapping:
    """What Keystone says of a token."""
    fields = {"X-Auth-Token": cloud.token("osfaas"), SUBJECT: token, "OpenStack-Identity-Access-Rules": "1"}
    return (
        httpx.get(f"{cloud.auth_url}/auth/tokens", headers=fields, trust_env=False, timeout=scaled(60))
        .raise_for_status()
        .json()["token"]
    )


def rescoped(cloud, token: str, project: str) -> httpx.Response:
    """Keystone's answer to a token that wants to be one of that project."""
    identity = {"methods": ["token"], "token": {"id": token}}
    wanted = {"auth": {"identity": identity, "scope": {"project": {"id": project}}}}
    return httpx.post(f"{cloud.auth_url}/auth/tokens", json=wanted, trust_env=False, timeout=scaled(60))


def _token(plugin) -> str:
    token = Session(plugin).get_token()
    assert token is not None
    return token


def trust(cloud, *, roles: list[str], trustor: str = "alice", trustee: str = "bob", **more: object) -> str:
    """Id of a trust: bob may act with some of the trustor's roles."""
    owner = cloud.users[trustor]
    wanted = {
        "trustor_user_id": owner.id,
        "trustee_user_id": cloud.users[trustee].id,
        "project_id": owner.project_id,
        "impersonation": False,
        "roles": [{"name": role} for role in roles],
        **more,
    }
    url = f"{cloud.auth_url}/OS-TRUST/trusts"
    return cloud.session(trustor).post(url, json={"trust": wanted}).json()["trust"]["id"]


def token_of_trust(cloud, identifier: str, *, trustee: str = "bob") -> str:
    other = cloud.users[trustee]
    return _token(v3.Password(cloud.auth_url, user_id=other.id, password=other.password, trust_id=identifier))


def trust_token(cloud, *, roles: list[str], **more: object) -> str:
    return token_of_trust(cloud, trust(cloud, roles=roles, **more))


def domain_token(cloud) -> str:
    admin, session = cloud.users["admin"], cloud.session("admin")
    roles = session.get(f"{cloud.auth_url}/roles?name=member").json()["roles"]
    session.put(f"{cloud.auth_url}/domains/default/users/{admin.id}/roles/{roles[0]['id']}")
    return _token(v3.Password(cloud.auth_url, user_id=admin.id, password=admin.password, domain_id="default"))


def short_lived_token(cloud, *, seconds: int) -> str:
    """No token outlives the application credential that it is of."""
    name = f"short-{time.monotonic_ns()}"
    expires = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + seconds))
    wanted = {"application_credential": {"name": name, "expires_at": expires}}
    url = f"{cloud.auth_url}/users/{cloud.users['alice'].id}/application_credentials"
    made = cloud.session("alice").post(url, json=wanted).json()["application_credential"]
    return _token(
        v3.ApplicationCredential(
            cloud.auth_url, application_credential_id=made["id"], application_credential_secret=made["secret"]
        )
    )


def ec2_token(cloud, *, credential: tuple[str, str] | None = None) -> str:
    """What a service gets that shows Keystone a request signed with an EC2 credential, by default alice's."""
    access, secret = credential or cloud.seed.ec2
    params = {
        "AWSAccessKeyId": access,
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    query = urlencode(sorted(params.items()), quote_via=quote, safe="-_~")
    said = f"GET\nfaas.example\n/\n{query}".encode()
    signature = base64.b64encode(hmac.new(secret.encode(), said, hashlib.sha256).digest()).decode()
    signed = {"access": access, "signature": signature, "host": "faas.example", "verb": "GET", "path": "/"}
    body = {"credentials": {**signed, "params": params}}
    return cloud.session("swift").post(f"{cloud.auth_url}/ec2tokens", json=body).headers[SUBJECT]


def federated_token(cloud, *, roles: tuple[str, ...] = ("member", "manager")) -> str:
    """The unscoped token of somebody whom an identity provider vouches for.

    A mapping puts them into a group that has the roles in alice's project.
    """
    session, url = cloud.session("admin"), cloud.auth_url
    name = "-".join(("federated", *roles))
    provider = f"{url}/OS-FEDERATION/identity_providers/{name}"
    if not session.get(f"{url}/groups?name={name}").json()["groups"]:
        group = session.post(f"{url}/groups", json={"group": {"name": name, "domain_id": "default"}}).json()["group"][
            "id"
        ]
        for role in roles:
            granted = session.get(f"{url}/roles?name={role}").json()["roles"][0]["id"]
            session.put(f"{url}/projects/{cloud.users['alice'].project_id}/groups/{group}/roles/{granted}")
        local = [{"user": {"name": "{0}"}}, {"group": {"id": group}}]
        rules = [{"local": local, "remote": [{"type": "HTTP_OIDC_SUB"}]}]
        session.put(f"{url}/OS-FEDERATION/mappings/{name}", json={"mapping": {"rules": rules}})
        session.put(provider, json={"identity_provider": {"enabled": True}})
        session.put(f"{provider}/protocols/mapped", json={"protocol": {"mapping_id": name}})
    url = f"{provider}/protocols/mapped/auth"
    answer = httpx.get(url, headers={ASSERTION: "erika"}, trust_env=False, timeout=scaled(60))
    return answer.raise_for_status().headers[SUBJECT]


def federated_project_token(cloud, *, roles: tuple[str, ...] = ("member", "manager")) -> str:
    """The same token, scoped to alice's project."""
    answer = rescoped(cloud, federated_token(cloud, roles=roles), cloud.users["alice"].project_id)
    return answer.raise_for_status().headers[SUBJECT]
