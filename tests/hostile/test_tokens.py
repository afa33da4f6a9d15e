"""Family 6: tokens of every kind that the real Keystone makes. What a token is not for, it does not open."""

import time
from dataclasses import dataclass

import pytest
from faulty import code, outlast_the_cache
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from token_makers import (
    domain_token,
    ec2_token,
    federated_project_token,
    federated_token,
    rescoped,
    short_lived_token,
    shown,
    token_of_trust,
    trust,
    trust_token,
)

from gateway.identity.keystone import caller_from
from tests.machine import scaled

KINDS = {
    "unscoped": (lambda cloud: cloud.unscoped_token("alice"), 403, "token.wrong_scope"),
    "domain": (domain_token, 403, "token.wrong_scope"),
    "system": (lambda cloud: cloud.system_token(), 403, "token.wrong_scope"),
    "our own service token": (lambda cloud: cloud.token("osfaas"), 403, "service.not_listed"),
    "another service's token": (lambda cloud: cloud.token("swift"), 403, "service.not_listed"),
    "reader": (lambda cloud: cloud.token("alice-reader"), 403, "role.missing"),
    "trust of a reader": (lambda cloud: trust_token(cloud, roles=["reader"]), 403, "role.missing"),
    "not onboarded": (lambda cloud: cloud.token("dave"), 403, "tenant.not_onboarded"),
    "rules without the store": (
        lambda cloud: cloud.application_credential_token("no-store"),
        403,
        "object.denied_by_rule",
    ),
    "unscoped federated": (federated_token, 403, "token.wrong_scope"),
    "federated reader": (lambda cloud: federated_project_token(cloud, roles=("reader",)), 403, "role.missing"),
    "another project": (lambda cloud: cloud.token("bob"), 404, "object.not_found"),
    "namesake in another domain": (lambda cloud: cloud.token("carol"), 404, "object.not_found"),
}


@pytest.mark.parametrize(("make", "status", "error"), KINDS.values(), ids=KINDS)
def test_token_of_the_wrong_kind_opens_nothing(faulty, make, status, error):
    response = faulty.get(faulty.path, make(faulty.cloud))
    assert (response.status_code, code(response)) == (status, error)


@pytest.mark.parametrize(("make", "status", "error"), KINDS.values(), ids=KINDS)
def test_service_token_beside_it_adds_nothing(faulty, make, status, error):
    """A real service token, and a forged one."""
    token = make(faulty.cloud)
    for service in (faulty.cloud.token("osfaas"), "gAAAAAforged"):
        response = faulty.get(faulty.path, token, **{"X-Service-Token": service, "X-Service-Roles": "service,admin"})
        assert (response.status_code, code(response)) == (status, error)


OPEN = {
    "trust with the role": lambda cloud: trust_token(cloud, roles=["member", "manager"]),
    "trust that impersonates": lambda cloud: trust_token(cloud, roles=["member", "manager"], impersonation=True),
    "application credential": lambda cloud: cloud.application_credential_token("plain"),
    "EC2 credential": ec2_token,
    "federated": federated_project_token,
}


@pytest.mark.parametrize("make", OPEN.values(), ids=OPEN)
def test_token_with_the_role_opens_what_it_is_for(faulty, make):
    """The positive controls: the same ways of asking, with the role that is needed."""
    assert faulty.get(faulty.path, make(faulty.cloud)).status_code == 200


def test_what_keystone_says_of_derived_tokens_is_what_we_look_for(faulty):
    """The marks by which they are known, from the real Keystone."""
    cloud = faulty.cloud
    ec2, federated = shown(cloud, ec2_token(cloud)), shown(cloud, federated_project_token(cloud))
    assert ec2["methods"] == ["ec2credential"]
    assert caller_from("t", ec2).delegated
    assert federated["user"]["OS-FEDERATION"]["identity_provider"]["id"] == "federated-member-manager"
    assert not caller_from("t", federated).delegated


def test_derived_token_is_no_way_to_a_longer_or_wider_one(faulty):
    """Keystone's part, without which ours would not hold: CVE-2026-43001 and CVE-2026-44394 were holes in it."""
    cloud = faulty.cloud
    project = cloud.users["alice"].project_id
    assert rescoped(cloud, ec2_token(cloud), project).status_code == 403
    assert rescoped(cloud, trust_token(cloud, roles=["member"]), project).status_code == 403
    first = federated_token(cloud)
    second = rescoped(cloud, first, project).json()["token"]
    assert second["expires_at"] == shown(cloud, first)["expires_at"]


def test_token_that_has_expired_is_out(faulty):
    token = short_lived_token(faulty.cloud, seconds=int(scaled(4)))
    ends = caller_from(token, shown(faulty.cloud, token)).expires_at
    assert faulty.get(faulty.path, token).status_code == 200
    time.sleep(max(0.0, ends - time.time()) + 1)
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (401, "token.invalid")


def test_revoked_token_is_out_within_the_cache(faulty):
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    faulty.cloud.revoke(token)
    outlast_the_cache()
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (401, "token.invalid")


# What is changed in Keystone, by a victim's id and alice's project; and what the next call hears.
LOSSES = {
    "user disabled": lambda admin, victim: admin.patch(victim.url, json={"user": {"enabled": False}}),
    "user deleted": lambda admin, victim: admin.delete(victim.url),
    "password changed": lambda admin, victim: admin.patch(victim.url, json={"user": {"password": "another"}}),
    "project disabled": lambda admin, victim: admin.patch(victim.project, json={"project": {"enabled": False}}),
    "role removed": lambda admin, victim: admin.delete(victim.grant),
}


@dataclass(frozen=True)
class Victim:
    """A user of alice's project that a test made, by URLs of Keystone."""

    url: str
    project: str
    grant: str


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_who_loses_a_right_is_out_within_the_cache(faulty, lose):
    """With a user of its own; Keystone revokes the tokens, and is asked again half a second later."""
    cloud = faulty.cloud
    admin, url = cloud.session("admin"), cloud.auth_url
    project = cloud.users["alice"].project_id
    wanted = {"name": f"victim-{time.monotonic_ns()}", "domain_id": "default", "password": "secret-victim"}
    user = admin.post(f"{url}/users", json={"user": wanted}).json()["user"]["id"]
    role = admin.get(f"{url}/roles?name=member").json()["roles"][0]["id"]
    victim = Victim(
        f"{url}/users/{user}", f"{url}/projects/{project}", f"{url}/projects/{project}/users/{user}/roles/{role}"
    )
    admin.put(victim.grant)
    token = Session(v3.Password(url, user_id=user, password="secret-victim", project_id=project)).get_token()
    no_object = "/v1/checksums/"
    assert faulty.get(no_object, token).status_code == 400
    lose(admin, victim)
    try:
        outlast_the_cache()
        response = faulty.get(no_object, token)
        assert (response.status_code, code(response)) == (401, "token.invalid")
    finally:
        admin.patch(victim.project, json={"project": {"enabled": True}})


def test_trust_that_is_withdrawn_takes_its_token_along(faulty):
    cloud = faulty.cloud
    identifier = trust(cloud, roles=["member", "manager"])
    token = token_of_trust(cloud, identifier)
    assert faulty.get(faulty.path, token).status_code == 200
    cloud.session("alice").delete(f"{cloud.auth_url}/OS-TRUST/trusts/{identifier}")
    outlast_the_cache()
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (401, "token.invalid")


def test_identity_provider_that_is_removed_takes_its_users_along(faulty):
    cloud = faulty.cloud
    token = federated_project_token(cloud, roles=("manager",))
    assert faulty.get(faulty.path, token).status_code != 401
    cloud.session("admin").delete(f"{cloud.auth_url}/OS-FEDERATION/identity_providers/federated-manager")
    outlast_the_cache()
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (401, "token.invalid")


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": "Bearer {token}"},
        {"Authorization": "Bearer {other}"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "AWS4-HMAC-SHA256 Credential=x"},
    ],
)
def test_two_credentials_are_one_too_many(faulty, fields):
    token, other = faulty.fresh(), faulty.fresh("bob")
    sent = {name: value.format(token=token, other=other) for name, value in fields.items()}
    response = faulty.get(faulty.path, token, **sent)
    assert (response.status_code, code(response)) == (400, "token.ambiguous")


@pytest.mark.parametrize("account", ["AUTH_{b}", "../AUTH_{b}", "%2e%2e/AUTH_{b}", "..%2fAUTH_{b}"])
def test_token_of_one_project_with_the_path_of_another(faulty, account):
    bob = faulty.cloud.users["bob"].project_id
    response = faulty.get(f"/v1/checksums/{account.format(b=bob)}/data/faulty", faulty.fresh())
    assert response.status_code in {400, 404}


@pytest.mark.parametrize(
    ("marks", "delegated"),
    [
        ({"methods": ["ec2credential"]}, True),
        ({"methods": ["application_credential"], "application_credential": {"id": "a"}}, True),
        ({"OS-TRUST:trust": {"id": "t", "trustee_user": {"id": "w"}}}, True),
        ({"OS-OAUTH1": {"access_token_id": "o"}}, True),
        ({"methods": ["password"]}, False),
    ],
)
def test_token_that_may_be_less_than_its_user_does_not_reach_the_users_keys(marks, delegated):
    """EC2-derived tokens among them (CVE-2026-43001): a signed URL of the user's would have all of the user's roles."""
    named = {"id": "u", "name": "u"}
    project = {**named, "domain": named}
    body = {"user": named, "project": project, "roles": [{"name": "member"}], "expires_at": "2999-01-01T00:00:00Z"}
    assert caller_from("t", {**body, **marks}).delegated is delegated


@pytest.fixture(scope="module")
def s3_gateway(start_gateway):
    with start_gateway(OSFAAS_CAPABILITIES="s3") as gateway:
        yield gateway


DELEGATED = {name: OPEN[name] for name in ("trust that impersonates", "application credential", "EC2 credential")}


@pytest.mark.parametrize("make", DELEGATED.values(), ids=DELEGATED)
def test_delegated_token_does_not_bring_out_the_users_s3_keys(s3_gateway, cloud, bucket, make):
    """All three speak for alice, whose EC2 credential has all of her roles. Her own token is the positive control."""
    bucket.put("delegated", b"delegated")
    path = bucket.path("delegated") + "?algorithm=sha1&force=true"
    keys = f"/v3/users/{cloud.users['alice'].id}/credentials/OS-EC2"
    before = cloud.keystone_requests("GET", keys)
    response = s3_gateway.get(path, make(cloud), headers={"Accept": "application/json"})
    assert (response.status_code, code(response)) == (403, "object.forbidden")
    assert cloud.keystone_requests("GET", keys) == before
    assert s3_gateway.get(path, cloud.token("alice")).status_code == 200
    assert cloud.keystone_requests("GET", keys) == before + 1
