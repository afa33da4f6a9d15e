"""Family 6: tokens of every kind that the real Keystone makes. What a token is not for, it does not open."""

import time

import pytest
from faulty import code
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from gateway.identity.keystone import caller_from


def trust_token(cloud, *, roles: list[str], trustee: str = "bob") -> str:
    """A token of bob's for alice's project, with some of her roles."""
    alice, other = cloud.users["alice"], cloud.users[trustee]
    session = cloud.session("alice")
    wanted = {
        "trustor_user_id": alice.id,
        "trustee_user_id": other.id,
        "project_id": alice.project_id,
        "impersonation": False,
        "roles": [{"name": role} for role in roles],
    }
    trust = session.post(f"{cloud.auth_url}/OS-TRUST/trusts", json={"trust": wanted}).json()["trust"]
    plugin = v3.Password(cloud.auth_url, user_id=other.id, password=other.password, trust_id=trust["id"])
    token = Session(plugin).get_token()
    assert token is not None
    return token


def domain_token(cloud) -> str:
    admin = cloud.users["admin"]
    session = cloud.session("admin")
    roles = session.get(f"{cloud.auth_url}/roles?name=member").json()["roles"]
    session.put(f"{cloud.auth_url}/domains/default/users/{admin.id}/roles/{roles[0]['id']}")
    plugin = v3.Password(cloud.auth_url, user_id=admin.id, password=admin.password, domain_id="default")
    token = Session(plugin).get_token()
    assert token is not None
    return token


KINDS = {
    "unscoped": (lambda cloud: cloud.unscoped_token("alice"), 403, "function.token.scope"),
    "domain": (domain_token, 403, "function.token.scope"),
    "system": (lambda cloud: cloud.system_token(), 403, "function.token.scope"),
    "our own service token": (lambda cloud: cloud.token("osfaas"), 403, "function.service.not_listed"),
    "another service's token": (lambda cloud: cloud.token("swift"), 403, "function.service.not_listed"),
    "reader": (lambda cloud: cloud.token("alice-reader"), 403, "function.role.missing"),
    "trust of a reader": (lambda cloud: trust_token(cloud, roles=["reader"]), 403, "function.role.missing"),
    "not onboarded": (lambda cloud: cloud.token("dave"), 403, "function.tenant.not_onboarded"),
    "rules without the store": (
        lambda cloud: cloud.application_credential_token("no-store"),
        403,
        "function.object.access_rule",
    ),
    "another project": (lambda cloud: cloud.token("bob"), 404, "function.object.not_found"),
    "namesake in another domain": (lambda cloud: cloud.token("carol"), 404, "function.object.not_found"),
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


def test_trust_with_the_role_opens_what_it_is_for(faulty):
    """The twin: the same way of asking, with the role that is needed."""
    assert faulty.get(faulty.path, trust_token(faulty.cloud, roles=["member", "manager"])).status_code == 200


def test_revoked_token_is_out_within_the_cache(faulty):
    token = faulty.fresh()
    assert faulty.get(faulty.path, token).status_code == 200
    faulty.cloud.revoke(token)
    time.sleep(0.6)
    response = faulty.get(faulty.path, token)
    assert (response.status_code, code(response)) == (401, "function.token.invalid")


@pytest.mark.parametrize("what", ["user disabled", "project disabled", "role removed"])
def test_who_loses_a_right_is_out_within_the_cache(faulty, what):
    """With a user and a project of its own; Keystone revokes the tokens, and is asked again half a second later."""
    cloud, name = faulty.cloud, f"victim-{what.replace(' ', '-')}"
    admin, url = cloud.session("admin"), cloud.auth_url
    alice = cloud.users["alice"].project_id
    user = admin.post(
        f"{url}/users", json={"user": {"name": name, "domain_id": "default", "password": "secret-victim"}}
    ).json()["user"]["id"]
    role = admin.get(f"{url}/roles?name=member").json()["roles"][0]["id"]
    grant = f"{url}/projects/{alice}/users/{user}/roles/{role}"
    admin.put(grant)
    plugin = v3.Password(url, user_id=user, password="secret-victim", project_id=alice)
    token = Session(plugin).get_token()
    no_object = "/v1/checksums/"
    assert faulty.get(no_object, token).status_code == 400
    if what == "role removed":
        admin.delete(grant)
    elif what == "user disabled":
        admin.patch(f"{url}/users/{user}", json={"user": {"enabled": False}})
    else:
        admin.patch(f"{url}/projects/{alice}", json={"project": {"enabled": False}})
    try:
        time.sleep(0.6)
        assert faulty.get(no_object, token).status_code in {401, 403}
    finally:
        admin.patch(f"{url}/projects/{alice}", json={"project": {"enabled": True}})


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
    assert (response.status_code, code(response)) == (400, "function.token.ambiguous")


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
        ({"OS-TRUST:trust": {"id": "t"}}, True),
        ({"OS-OAUTH1": {"access_token_id": "o"}}, True),
        ({"methods": ["password"]}, False),
    ],
)
def test_token_that_may_be_less_than_its_user_does_not_reach_the_users_keys(marks, delegated):
    """EC2-derived tokens among them (CVE-2026-43001): a signed URL of the user's would have all of the user's roles."""
    named = {"id": "u", "name": "u"}
    body = {"user": named, "project": named, "roles": [{"name": "member"}], "expires_at": "2999-01-01T00:00:00Z"}
    assert caller_from("t", {**body, **marks}).delegated is delegated
