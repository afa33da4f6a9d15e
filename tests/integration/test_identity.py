"""Who may call: decided by the real Keystone."""

import asyncio
import signal
import time

import aiohttp
import httpx
import pytest
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.machine import scaled

pytestmark = pytest.mark.main_story

AGENT = "osfaas-gateway"


@pytest.fixture(scope="module")
def path(bucket):
    bucket.put("small", b"hello")
    return bucket.path("small")


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


JSON = {"Accept": "application/json"}


def test_a_call_without_a_token_gets_the_challenge_of_keystone(gateway, path, cloud):
    response = gateway.get(path, headers=JSON)
    assert (response.status_code, code(response)) == (401, "token.missing")
    assert response.headers["WWW-Authenticate"] == f'Keystone uri="{cloud.auth_url}"'
    assert response.headers["X-Openstack-Request-Id"].startswith("req-")


def test_two_tokens_are_refused_even_if_both_are_good(gateway, path, alice):
    response = gateway.get(path, alice, headers={**JSON, "Authorization": f"Bearer {alice}"})
    assert (response.status_code, code(response)) == (400, "token.ambiguous")


@pytest.mark.parametrize("token", ["nonsense", "g" * 180, "gAAAAAB" + "x" * 173])
def test_what_is_no_token_of_keystones_is_refused_without_asking_it(gateway, path, cloud, token):
    before = cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT)
    response = gateway.get(path, token, headers=JSON)
    assert (response.status_code, code(response)) == (401, "token.invalid")
    assert cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT) == before


def test_a_forged_token_of_the_right_form_is_refused_by_keystone_and_then_from_memory(gateway, path, cloud, alice):
    """Two questions: about that token, and whether the same is said of our own."""
    forged = alice[:-6] + ("AAAAAA" if alice[-6:] != "AAAAAA" else "BBBBBB")
    before = cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT)
    assert [gateway.get(path, forged).status_code for _ in range(3)] == [401, 401, 401]
    assert cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT) == before + 2


def test_unscoped_and_system_scoped_tokens_are_refused_with_the_reason(gateway, path, cloud):
    for token, word in ((cloud.unscoped_token("alice"), "unscoped"), (cloud.system_token(), "system")):
        response = gateway.get(path, token, headers=JSON)
        assert (response.status_code, code(response)) == (403, "token.wrong_scope")
        assert word in response.json()["error"]["message"]


def test_a_reader_is_told_which_rule_refuses(gateway, path, cloud):
    response = gateway.get(path, cloud.token("alice-reader"), headers=JSON)
    assert (response.status_code, code(response)) == (403, "role.missing")
    assert "policy rule 'checksums:get'" in response.json()["error"]["message"]


def test_a_project_that_is_not_onboarded_is_told_how_it_can_be(gateway, path, cloud):
    response = gateway.get(path, cloud.token("dave"), headers=JSON)
    assert (response.status_code, code(response)) == (403, "tenant.not_onboarded")
    assert f"osfaas tenant onboard {cloud.users['dave'].project_id}" in response.json()["error"]["message"]


def test_a_credential_limited_to_get_is_refused_for_head_and_post(gateway, path, cloud):
    token = cloud.application_credential_token("get-only")
    assert gateway.get(path, token).status_code == 200
    assert gateway.call("HEAD", path, token).status_code == 403
    assert gateway.call("POST", path, token).status_code == 405  # there is nothing to POST to, rule or not
    assert gateway.get("/checksums/?bucket=data&file=small", token, headers=JSON).status_code == 403
    assert gateway.call("HEAD", path, cloud.application_credential_token("plain")).status_code == 200


def restricted_token(cloud, path: str) -> str:
    """A token of an application credential of alice's that may GET one path here, and read all of Swift."""
    url = f"{cloud.auth_url}/users/{cloud.users['alice'].id}/application_credentials"
    rules = [{"service": "object-store", "method": method, "path": "/v1/**"} for method in ("GET", "HEAD")]
    rules.append({"service": "function", "method": "GET", "path": path})
    wanted = {"name": f"rules-{time.monotonic_ns()}", "access_rules": rules}
    made = cloud.session("alice").post(url, json={"application_credential": wanted}).json()["application_credential"]
    plugin = v3.ApplicationCredential(
        cloud.auth_url, application_credential_id=made["id"], application_credential_secret=made["secret"]
    )
    return str(Session(plugin).get_token())


def test_a_rule_for_the_objects_of_one_level_does_not_reach_below_it_by_an_encoded_slash(gateway, cloud, bucket):
    bucket.put("one", b"1")
    bucket.put("sub/o", b"2")
    level = f"/v1/checksums/{bucket.name}"
    for rule, below in ((f"{level}/*", 403), (f"{level}/{{object}}", 403), (f"{level}/**", 200)):
        token = restricted_token(cloud, rule)
        assert gateway.get(f"{level}/one", token).status_code == 200
        for path in ("sub/o", "sub%2Fo", "sub%2fo"):
            assert (rule, path, gateway.get(f"{level}/{path}", token).status_code) == (rule, path, below)


def test_a_credential_without_a_rule_for_the_object_store_is_told_so(gateway, path, cloud):
    response = gateway.get(path, cloud.application_credential_token("no-store"), headers=JSON)
    assert (response.status_code, code(response)) == (403, "object.denied_by_rule")
    assert "'object-store'" in response.json()["error"]["message"]


def test_forged_identity_headers_change_nothing(gateway, cloud, bucket):
    """CVE-2026-22797's kind: the identity is the token's, whatever the request claims."""
    bucket.put("forged", b"alice's")
    forged = {"X-Project-Id": cloud.users["alice"].project_id, "X-Roles": "admin", "X_User_Id": "alice"}
    assert gateway.get(bucket.path("forged"), cloud.token("bob"), headers=forged).status_code == 404


def test_project_b_never_reads_project_a_nor_does_its_namesake_in_another_domain(gateway, bucket, cloud):
    bucket.put("private", b"alice's own")
    for user in ("bob", "carol"):
        assert gateway.get(bucket.path("private"), cloud.token(user)).status_code == 404
        account = f"AUTH_{cloud.users['alice'].project_id}"
        for path in (f"/v1/checksums/..%2F{account}%2Fdata/private", f"/v1/checksums/../{account}/data/private"):
            assert gateway.get(path, cloud.token(user)).status_code in {400, 404}


def test_a_revoked_token_is_refused_within_30_seconds(gateway, path, cloud):
    token = cloud.token("alice")
    assert gateway.get(path, token).status_code == 200
    cloud.revoke(token)
    started = time.monotonic()
    while gateway.get(path, token).status_code == 200:
        assert time.monotonic() - started < 30 + scaled(5)
        time.sleep(0.5)
    assert gateway.get(path, token).status_code == 401


async def test_a_thousand_concurrent_first_uses_of_a_token_cause_one_validation(gateway, cloud):
    token = cloud.token("alice")
    before = cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> int:
            # Without its parameters, the call ends right after the caller is known.
            async with session.get(f"{gateway.url}/v1/checksums/", headers={"X-Auth-Token": token}) as response:
                await response.read()
                return response.status

        statuses = await asyncio.gather(*(call() for _ in range(1000)))
    assert set(statuses) == {400}
    assert cloud.keystone_requests("GET", "/v3/auth/tokens", agent=AGENT) == before + 1


def test_while_keystone_is_silent_known_callers_are_served_and_unknown_ones_told_to_wait(
    start_gateway, path, cloud, alice
):
    fresh = cloud.token("alice")
    with start_gateway(OSFAAS_KEYSTONE_TIMEOUT_SECONDS=str(scaled(1))) as gateway:
        assert gateway.get(path, alice).status_code == 200
        cloud.services["keystone"].signal(signal.SIGSTOP)
        try:
            assert gateway.get(path, alice).status_code == 200
            response = gateway.get(path, fresh, headers=JSON)
        finally:
            cloud.services["keystone"].signal(signal.SIGCONT)
        assert (response.status_code, code(response)) == (503, "keystone.unavailable")
        assert int(response.headers["Retry-After"]) > 0
        assert gateway.get(path, fresh).status_code == 200
        assert gateway.get("/readyz").status_code == 200
