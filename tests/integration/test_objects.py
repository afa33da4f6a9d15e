"""Objects of every kind, in a real Swift: digests are those of the content, names are opaque bytes."""

import contextlib
import json
import os
import subprocess
from urllib.parse import quote

import pytest
from conftest import content_of

pytestmark = pytest.mark.main_story

ALL = "adler32,crc32,crc32c,crc64nvme,md5,sha1,sha256,sha512,blake3,xxh3_64"
NAMES = [
    "plain",
    "with/slashes//and/empty/segments",
    "/leading slash",
    "spaces and + plus",
    "percent%20literal%",
    "question?mark#hash",
    "ünïcode-日本語",
    "dots/../and/./more..",
    "semi;colon,comma=equals&ampersand",
    "back\\slash|pipe\"quote'",
    "%2e%2e%2f",
]


def test_a_missing_object_or_container_is_not_found(gateway, bucket, alice):
    for path in (bucket.path("no-such"), "/v1/checksums/no-such-container/x"):
        response = gateway.get(path, alice, headers={"Accept": "application/json"})
        assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "object.not_found")


def openstack(cloud, user: str, program: str, *arguments: str) -> int:
    """Exit status of a client's command, as that user."""
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": user}
    if program == "swift":
        known = cloud.users[user]
        environment |= {
            "OS_AUTH_URL": cloud.auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": known.name,
            "OS_PASSWORD": known.password,
            "OS_USER_DOMAIN_ID": known.domain_id,
            "OS_PROJECT_ID": known.project_id,
        }
    command = [str(cloud.bin / program), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, timeout=240, check=False).returncode


def test_a_member_without_an_acl_is_refused_by_swift_and_with_one_is_served_by_streaming(gateway, bucket, cloud):
    bucket.put("acl", b"for members")
    member = cloud.token("alice-member")
    response = gateway.get(bucket.path("acl"), member, headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "object.forbidden")
    # What the sentence says to check is refused too, and what it says to ask for helps.
    sentence = response.json()["error"]["message"]
    assert "'openstack object show'" in sentence
    assert "'swift post --read-acl'" in sentence
    assert openstack(cloud, "alice-member", "openstack", "object", "show", bucket.name, "acl") != 0
    user = cloud.users["alice-member"]
    acl = f"{user.project_id}:{user.id}"
    assert openstack(cloud, "alice", "swift", "post", "--read-acl", acl, bucket.name) == 0
    try:
        before = gateway.metric("osfaas_computations_total", capability="stream", outcome="done")
        response = gateway.get(bucket.path("acl") + "?algorithm=sha256", member)
        assert response.json()["digests"]["sha256"] == content_of(b"for members").digests["sha256"]
        # A member may not read keys, and sets none: the bytes went through the gateway.
        assert gateway.metric("osfaas_computations_total", capability="stream", outcome="done") == before + 1
    finally:
        bucket.session.post(bucket.url, headers={"X-Container-Read": ""})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("capability", ["tempurl", "s3", "stream"])
def test_names_are_opaque_bytes_on_every_way(gateways, bucket, alice, name, capability):
    content = content_of(f"content of {name}".encode())
    bucket.put(name, content.data)
    gateway = gateways[capability]
    before = gateway.metric("osfaas_computations_total", capability=capability, outcome="done")
    response = gateway.get(bucket.path(name) + "?algorithm=sha256,adler32&force=true", alice)
    assert response.status_code == 200, response.text
    assert response.json()["object"] == name
    for algorithm in ("sha256", "adler32"):
        assert response.json()["digests"][algorithm] == content.digests[algorithm]
    assert gateway.metric("osfaas_computations_total", capability=capability, outcome="done") == before + 1


def test_the_original_form_names_the_same_object(gateway, bucket, alice):
    content = content_of(b"the original form")
    bucket.put("a b/ü?.txt", content.data)
    for route in ("/checksums/", "/checksums", "/v1/checksums/"):
        response = gateway.get(f"{route}?bucket=data&file={quote('a b/ü?.txt', safe='')}", alice)
        assert response.json()["digests"]["adler32"] == content.digests["adler32"]


def test_an_empty_object_has_digests(gateway, bucket, alice):
    bucket.put("empty", b"")
    digests = gateway.get(bucket.path("empty") + f"?algorithm={ALL}&force=true", alice).json()["digests"]
    assert digests["adler32"] == "00000001"
    assert digests["md5"] == "d41d8cd98f00b204e9800998ecf8427e"
    assert digests["crc64nvme"] == "0" * 16


@pytest.fixture(scope="module")
def large(bucket, cloud):
    """A static and a dynamic large object of the same three segments, which lie in another container."""
    segments = [bytes([65 + number]) * (300_000 + number) for number in range(3)]
    bucket.session.put(bucket.url + "_segments")
    for number, segment in enumerate(segments):
        bucket.session.put(f"{bucket.url}_segments/big/{number}", data=segment)
    manifest = [{"path": f"/data_segments/big/{number}"} for number in range(3)]
    bucket.session.put(f"{bucket.url}/slo?multipart-manifest=put", data=json.dumps(manifest))
    bucket.put("dlo", b"", X_Object_Manifest="data_segments/big/")
    return content_of(b"".join(segments))


@contextlib.contextmanager
def account_key(bucket, key):
    """Sets the account's TempURL key for a while; an empty one takes it away."""
    account = bucket.url.rpartition("/")[0]
    slots = ("X-Account-Meta-Temp-Url-Key", "X-Account-Meta-Temp-Url-Key-2")
    now = bucket.session.head(account).headers
    bucket.session.post(account, headers=dict(zip(slots, (key, ""), strict=True)))
    try:
        yield
    finally:
        bucket.session.post(account, headers={slot: now.get(slot, "") for slot in slots})


@pytest.mark.parametrize("name", ["slo", "dlo"])
def test_a_key_of_the_container_is_not_used_for_segments_in_another(gateways, bucket, alice, large, name):
    with account_key(bucket, ""):
        response = gateways["tempurl"].get(bucket.path(name) + "?algorithm=sha1&force=true", alice)
    assert response.status_code == 403


@pytest.mark.parametrize("name", ["slo", "dlo"])
@pytest.mark.parametrize("capability", ["tempurl", "s3", "stream"])
def test_digests_of_large_objects_are_those_of_the_whole_content(gateways, bucket, alice, large, name, capability):
    with account_key(bucket, "account-key" if capability == "tempurl" else ""):
        response = gateways[capability].get(bucket.path(name) + "?algorithm=md5,sha256&force=true", alice)
    if (capability, name) == ("s3", "slo"):
        # S3 shows another ETag, so nothing would bind the reading: alone, it is no way.
        assert response.status_code == 403
        return
    assert response.status_code == 200, response.text
    assert response.json()["digests"] == {name: large.digests[name] for name in ("md5", "sha256")}
    assert response.json()["size"] == len(large.data)


@pytest.mark.parametrize("name", ["slo", "dlo"])
def test_the_etag_of_a_large_object_is_never_taken_for_an_md5(gateway, bucket, alice, large, name):
    response = gateway.get(bucket.path(name) + "?algorithm=md5", alice)
    assert response.json()["digests"]["md5"] == large.digests["md5"] != response.json()["etag"]
    assert "ETag" not in gateway.call("HEAD", bucket.path(name), alice).headers


def test_a_version_has_its_own_digests(gateway, cloud, alice):
    session, account = cloud.session("alice"), cloud.account_url("alice")
    session.put(f"{account}/versions", headers={"X-Versions-Enabled": "true"})
    versions = [session.put(f"{account}/versions/x", data=data).headers["X-Object-Version-Id"] for data in (b"1", b"2")]
    for version, data in zip(versions, (b"1", b"2"), strict=True):
        response = gateway.get(f"/v1/checksums/versions/x?algorithm=sha1&version-id={version}", alice)
        assert response.json()["digests"]["sha1"] == content_of(data).digests["sha1"]


def test_stored_digests_keep_other_metadata_and_are_found_by_another_gateway(gateway, start_gateway, bucket, alice):
    bucket.put("stored", b"kept", X_Object_Meta_Colour="blue", Content_Disposition="inline", Content_Type="text/x-mine")
    response = gateway.get(bucket.path("stored") + "?algorithm=adler32,sha256&store=true", alice)
    assert response.json()["stored"] is True
    head = bucket.head("stored")
    assert head["X-Object-Meta-Adler32"] == content_of(b"kept").digests["adler32"]
    assert (head["X-Object-Meta-Colour"], head["Content-Disposition"], head["Content-Type"]) == (
        "blue",
        "inline",
        "text/x-mine",
    )
    with start_gateway() as other:
        sources = other.get(bucket.path("stored") + "?algorithm=adler32,sha256", alice).json()["sources"]
        assert sources == {"adler32": "stored", "sha256": "stored"}
        forced = other.get(bucket.path("stored") + "?algorithm=adler32&force=true", alice).json()["sources"]
        assert forced == {"adler32": "computed"}


def test_stored_digests_of_other_content_do_not_count(gateway, bucket, alice):
    bucket.put("stale", b"first")
    gateway.get(bucket.path("stale") + "?algorithm=adler32&store=true", alice)
    carried = {name: value for name, value in bucket.head("stale").items() if name.startswith("X-Object-Meta-")}
    bucket.session.put(f"{bucket.url}/stale", data=b"second", headers=carried)
    answer = gateway.get(bucket.path("stale") + "?algorithm=adler32", alice).json()
    assert (answer["digests"]["adler32"], answer["sources"]["adler32"]) == (
        content_of(b"second").digests["adler32"],
        "computed",
    )


def test_a_dynamic_large_object_stays_one_when_digests_are_stored(gateway, bucket, alice, large):
    assert gateway.get(bucket.path("dlo") + "?algorithm=sha1&store=true", alice).json()["stored"] is True
    assert bucket.head("dlo")["X-Object-Manifest"] == "data_segments/big/"
    assert gateway.get(bucket.path("dlo") + "?algorithm=sha1&force=true", alice).json()["size"] == len(large.data)


def test_keys_that_are_there_are_used_and_never_overwritten(gateways, cloud, alice):
    session, account = cloud.session("alice"), cloud.account_url("alice")
    session.put(f"{account}/keyed", headers={"X-Container-Meta-Temp-Url-Key": "mine"})
    session.put(f"{account}/keyed/x", data=b"x")
    assert gateways["tempurl"].get("/v1/checksums/keyed/x?algorithm=sha1", alice).status_code == 200
    head = session.head(f"{account}/keyed").headers
    assert head["X-Container-Meta-Temp-Url-Key"] == "mine"
    assert "X-Container-Meta-Temp-Url-Key-2" not in head


def test_a_read_leaves_no_key_behind_unless_the_operator_says_so(gateway, start_gateway, cloud, alice):
    session, account = cloud.session("alice"), cloud.account_url("alice")
    session.put(f"{account}/untouched")
    session.put(f"{account}/untouched/x", data=b"x")

    def keys():
        head = session.head(f"{account}/untouched").headers
        return [name for name in head if "temp-url-key" in name.lower()]

    assert gateway.get("/v1/checksums/untouched/x?algorithm=sha1&force=true", alice).status_code == 200
    assert keys() == []
    with start_gateway(OSFAAS_TEMPURL_SET_KEY="true") as other:
        assert other.get("/v1/checksums/untouched/x?algorithm=sha1&force=true", alice).status_code == 200
    assert keys() == ["X-Container-Meta-Temp-Url-Key-2"]
