"""A storage federation's account: what it may do, and that its calls leave a record."""

import asyncio
import json

import aiohttp
import pytest
from conftest import content_of
from service_account import readable, restricted_token
from test_policy import OPERATIONS

JSON = {"Accept": "application/json"}
CONTENT = content_of(b"for the federation")


def code(response) -> str:
    return response.json()["errors"][0]["code"]


def is_refused(gateway, method: str, path: str, token: str) -> bool:
    """Whether the policy rule refuses an operation; what else the gateway says of it does not matter."""
    response = gateway.call(method, path, token, headers=JSON)
    return (response.status_code, response.headers.get("Osfaas-Error")) == (403, "role.missing")


def records(gateway) -> list[dict]:
    """The audit records in a gateway's log."""
    lines = gateway.service.log.read_text().splitlines()
    return [json.loads(line.partition("gateway.audit ")[2]) for line in lines if " gateway.audit " in line]


@pytest.fixture(scope="module")
def path(bucket):
    bucket.put("federated", CONTENT.data)
    return bucket.path("federated")


@pytest.fixture(scope="module")
def listed(start_gateway, cloud):
    """A gateway on which the service role counts in alice's project."""
    with start_gateway(OSFAAS_SERVICE_PROJECTS=cloud.users["alice"].project_id) as running:
        yield running


@pytest.fixture(scope="module")
def token(cloud):
    return restricted_token(cloud)


def test_service_role_is_worth_nothing_in_a_project_that_is_not_listed(start_gateway, bucket, cloud, path, token):
    with start_gateway(OSFAAS_SERVICE_PROJECTS=cloud.users["bob"].project_id) as gateway, readable(bucket, cloud):
        response = gateway.get(path, token, headers=JSON)
        assert (response.status_code, code(response)) == (403, "service.not_listed")
        (record,) = records(gateway)
    assert (record["outcome"], record["initiator"]["id"]) == ("failure", cloud.users["dynafed"].id)


def test_store_decides_what_a_service_may_read(listed, bucket, path, token):
    response = listed.get(path, token, headers=JSON)
    assert (response.status_code, code(response)) == (403, "object.forbidden")


def test_access_rules_keep_the_credential_to_reading_checksums_and_objects(listed, bucket, cloud, path, token):
    with readable(bucket, cloud):
        assert listed.call("HEAD", path, token).status_code == 200
        assert listed.get("/checksums/?bucket=data&file=federated", token).status_code == 403
        session = bucket.session
        for method, url in (("PUT", f"{bucket.url}/federated"), ("POST", f"{bucket.url}/federated")):
            refused = session.request(
                url, method, headers={"X-Auth-Token": token}, authenticated=False, raise_exc=False
            )
            assert refused.status_code in {401, 403}


def test_service_gets_checksums_and_each_call_leaves_a_record(listed, bucket, cloud, path, token):
    before = len(records(listed))
    with readable(bucket, cloud):
        found = listed.call("HEAD", path, token, headers={"Want-Digest": "adler32"})
        missing = listed.call("HEAD", bucket.path("no-such"), token, headers={"Want-Digest": "adler32"})
    assert found.headers["Digest"] == f"adler32={CONTENT.digests['adler32']}"
    assert missing.status_code == 404
    good, bad = records(listed)[before:]
    assert (good["outcome"], good["target"]["name"]) == ("success", "data/federated")
    assert (bad["outcome"], bad["reason"]["reasonCode"]) == ("failure", "404")
    assert good["tags"] == [f"request_id={found.headers['X-Openstack-Request-Id']}"]
    assert token not in listed.service.log.read_text()


def test_events_of_a_service_leave_a_record_each_and_one_for_the_call(listed, bucket, cloud, path):
    before = len(records(listed))
    entries = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket.name}, "object": {"key": key}}}
        for key in ("federated", "no-such")
    ]
    with readable(bucket, cloud):
        answer = listed.call("POST", "/v1/events", cloud.token("dynafed"), json={"Records": entries})
    assert answer.status_code == 204
    made = records(listed)[before:]
    named = sorted(record["target"].get("name", "") for record in made)
    assert named == ["", "data/federated", "data/no-such"]
    assert {record["outcome"] for record in made} == {"success"}
    assert {tag for record in made for tag in record["tags"]} == {
        f"request_id={answer.headers['X-Openstack-Request-Id']}"
    }


def test_records_of_lists_and_events_say_where_each_digest_came_from(listed, bucket, cloud, path):
    """As those of single calls do."""
    bucket.put("source", b"says where from")
    event = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket.name}, "object": {"key": "source"}}}
    order = {"objects": [{"container": bucket.name, "object": name} for name in ("source", "no-such")]}
    dynafed, before = cloud.token("dynafed"), len(records(listed))
    with readable(bucket, cloud):
        assert listed.call("POST", "/v1/events", dynafed, json={"Records": [event]}).status_code == 204
        assert listed.call("POST", "/v1/checksums", dynafed, json=order).status_code == 200
    found = [
        (record["target"].get("name"), *[each["content"] for each in record.get("attachments", [])])
        for record in records(listed)[before:]
    ]
    computed, known = {"adler32": "computed", "md5": "native"}, {"adler32": "remembered", "md5": "native"}
    assert found[:2] == [("data/source", computed), (None,)]
    assert sorted(found[2:]) == [("data/no-such",), ("data/source", known)]


def test_calls_of_users_leave_no_audit_record(listed, path, alice):
    before = len(records(listed))
    assert listed.get(path, alice).status_code == 200
    assert len(records(listed)) == before


def test_service_with_roles_of_users_may_do_what_a_service_may_and_nothing_else(listed, start_gateway, cloud):
    """The federation's account has the role reader besides; here it is a member too, as the guide for Ceph has it."""
    admin, member = cloud.session("admin"), cloud.users["alice-member"]
    (role,) = admin.get(f"{cloud.auth_url}/roles?name=service").json()["roles"]
    grant = f"{cloud.auth_url}/projects/{member.project_id}/users/{member.id}/roles/{role['id']}"
    admin.put(grant)
    allowed = {"checksums:get", "checksums:list", "events:send", "limits:get"}
    try:
        both = cloud.token("alice-member")
        for name, token in {"reader": cloud.token("dynafed"), "member": both}.items():
            for rule, method, operation in OPERATIONS:
                refused = is_refused(listed, method, operation, token)
                assert refused == (rule not in allowed), (name, rule, method, operation)
        # In a project that is not listed, the second one is a user.
        with start_gateway() as gateway:
            found = {rule for rule, method, operation in OPERATIONS if is_refused(gateway, method, operation, both)}
        assert found == set()
    finally:
        admin.delete(grant)


async def test_twenty_heads_of_a_service_are_all_answered_by_two_places(start_gateway, bucket, cloud, token):
    """A refusal would be a failed transfer to a storage client, so they wait for their turn."""
    content = content_of(b"in line" * 300_000)
    bucket.put("segment", content.data)
    for number in range(20):
        bucket.put_large(f"line-{number}", ["data/segment"])
    with (
        start_gateway(
            OSFAAS_SERVICE_PROJECTS=cloud.users["alice"].project_id, OSFAAS_SERVICE_CONCURRENCY="2"
        ) as gateway,
        readable(bucket, cloud),
    ):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

            async def head(number: int) -> tuple[int, str | None]:
                headers = {"X-Auth-Token": token, "Want-Digest": "adler32"}
                async with client.head(gateway.url + bucket.path(f"line-{number}"), headers=headers) as response:
                    return response.status, response.headers.get("Digest")

            answers = await asyncio.gather(*map(head, range(20)))
    assert set(answers) == {(200, f"adler32={content.digests['adler32']}")}
