"""The same objects in every store: digests of the content, opaque names, and nobody reads what is not theirs."""

import concurrent.futures
import hashlib
import json
import time
from urllib.parse import quote

import httpx
import pytest
from barrier import barrier
from conftest import content_of
from filler import PART_BYTES, RefusedError

from localcloud.services import Service
from tests.machine import scaled, wait_until

JSON = {"Accept": "application/json"}
BUCKET = "data"
ALL = "adler32,crc32,crc32c,crc64nvme,md5,sha1,sha256,sha512,blake3,xxh3_64"
NAMES = {
    "slashes": "with/slashes//and/empty/segments",
    "leading": "/leading slash",
    "plus": "spaces and + plus",
    "percent": "percent%20literal%",
    "query": "question?mark#hash",
    "unicode": "ünïcode-日本語-\U0001f600",
    "dots": "dots/../and/./more..",
    "delimiters": "semi;colon,comma=equals&ampersand",
    "quotes": "back\\slash|pipe\"quote'",
    "encoded": "%2e%2e%2f",
    "tilde": "~tilde*(brackets)!$@:",
    "printable": "".join(map(chr, range(0x20, 0x7F))).replace("/", ""),
    "control": "c" + "".join(map(chr, range(0x01, 0x20))) + "\x7f",
    "two-bytes": "".join(map(chr, range(0x80, 0xFF))),
}


def needs(store, feature: str) -> None:
    """Skips the case on a store that lacks a feature."""
    if feature in store.lacks:
        pytest.skip(f"{feature}: {store.lacks[feature]}")


def path(name: str, query: str = "", bucket: str = BUCKET) -> str:
    return f"/v1/checksums/{bucket}/{quote(name, safe='')}{query}"


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["code"]


# --- refusals


def test_missing_object_and_missing_bucket_are_not_found(gateways, alice):
    for gateway in gateways.values():
        for url in (path("no-such"), path("x", bucket="no-such-bucket")):
            response = gateway.get(url, alice, headers=JSON)
            assert (response.status_code, code(response)) == (404, "object.not_found")


def test_object_of_another_project_is_not_returned(store, gateways, cloud):
    """Bob names alice's bucket: it is none of his account, or he has no credential that the store knows."""
    store.filler.put(BUCKET, "alices", b"alice's own")
    token = cloud.token("bob")
    for gateway in gateways.values():
        response = gateway.get(path("alices"), token, headers=JSON)
        expected = {(404, "object.not_found"), (403, "object.forbidden"), (403, "object.no_ec2_credential")}
        assert (response.status_code, code(response)) in expected


def test_object_is_not_read_with_a_credential_that_the_store_refuses(store, gateways, cloud):
    """S3: bob's EC2 credential gives no right to alice's bucket. Swift: a member has no right without an ACL."""
    store.filler.put(BUCKET, "refused", b"not for others")
    if store.api == "s3":
        bob = cloud.users["bob"]
        url = f"{cloud.auth_url}/users/{bob.id}/credentials/OS-EC2"
        made = cloud.session("bob").post(url, json={"tenant_id": bob.project_id}).json()["credential"]
        token = cloud.token("bob")
    else:
        token = cloud.token("alice-member")
    try:
        for gateway in gateways.values():
            response = gateway.get(path("refused"), token, headers=JSON)
            # Ceph answers 401 to a role that it does not accept.
            expected = {(404, "object.not_found"), (403, "object.forbidden"), (401, "token.invalid")}
            assert (response.status_code, code(response)) in expected
            assert content_of(b"not for others").digests["md5"] not in response.text
    finally:
        if store.api == "s3":
            cloud.session("bob").delete(f"{url}/{made['access']}")


def test_object_that_a_policy_or_acl_grants_to_another_project_is_read_there(store, gateways, cloud):
    """In Ceph without tenants all projects share the names of buckets, so bob reaches what alice's ACL grants him."""
    needs(store, "ACL for another project")
    store.filler.make("granted")
    store.filler.put("granted", "x", b"for bob")
    token, bob = cloud.token("bob"), cloud.users["bob"]
    container = f"{store.filler.account}/granted"
    gateway = gateways["stream"]
    assert gateway.get(path("x", "?algorithm=sha1", "granted"), token, headers=JSON).status_code == 403
    store.filler.session.post(container, headers={"X-Container-Read": bob.project_id})
    answer = gateway.get(path("x", "?algorithm=sha1", "granted"), token, headers=JSON)
    assert answer.json()["digests"]["sha1"] == content_of(b"for bob").digests["sha1"]
    store.filler.session.post(container, headers={"X-Container-Read": ""})
    # The digest that was computed for bob is not returned to him any more.
    assert gateway.get(path("x", "?algorithm=sha1", "granted"), token, headers=JSON).status_code == 403


def test_object_that_a_bucket_policy_denies_is_forbidden(store, gateways, alice):
    needs(store, "bucket policy")
    store.filler.make("policies")
    for name in ("denied", "allowed"):
        store.filler.put("policies", name, b"content")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::policies/denied"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    store.filler.client.put_bucket_policy(Bucket="policies", Policy=json.dumps(policy))
    for gateway in gateways.values():
        response = gateway.get(path("denied", bucket="policies"), alice, headers=JSON)
        assert (response.status_code, code(response)) == (403, "object.forbidden")
        assert gateway.get(path("allowed", bucket="policies"), alice).status_code == 200


# --- digests


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_opaque_on_every_way(store, gateways, alice, name):
    content = content_of(f"content of {name}".encode())
    if name in store.refused_names:
        with pytest.raises(RefusedError):
            store.filler.put(BUCKET, name, content.data)
        for gateway in gateways.values():
            assert gateway.get(path(name), alice).status_code in {400, 404}
        return
    store.filler.put(BUCKET, name, content.data)
    for way, gateway in gateways.items():
        before = gateway.metric("osfaas_computations_total", capability=way, outcome="done")
        response = gateway.get(path(name, "?algorithm=sha256,adler32&force=true"), alice)
        assert response.status_code == 200, (way, response.text)
        assert response.json()["object"] == name
        assert response.json()["digests"] == {each: content.digests[each] for each in ("sha256", "adler32")}
        assert gateway.metric("osfaas_computations_total", capability=way, outcome="done") == before + 1


def test_empty_object_has_digests(store, gateways, alice):
    store.filler.put(BUCKET, "empty", b"")
    for gateway in gateways.values():
        digests = gateway.get(path("empty", f"?algorithm={ALL}&force=true"), alice).json()["digests"]
        assert (digests["adler32"], digests["crc64nvme"]) == ("00000001", "0" * 16)
        assert digests["md5"] == hashlib.md5(b"").hexdigest()


def test_md5_of_a_plain_object_is_the_stores_own(store, gateway, alice):
    content = content_of(b"plain content")
    store.filler.put(BUCKET, "plain", content.data)
    answer = gateway.get(path("plain", "?algorithm=md5"), alice).json()
    # Nothing in Swift's S3 API tells a plain object from a dynamic large one, whose ETag is no MD5.
    source = "computed" if store.name == "swift-s3" else "native"
    assert (answer["digests"]["md5"], answer["sources"]["md5"]) == (content.digests["md5"], source)


def test_digest_fields_are_those_of_the_object(store, gateway, alice):
    content = content_of(b"digest fields")
    store.filler.put(BUCKET, "fields", content.data, content_type="text/x-fields")
    headers = gateway.call("HEAD", path("fields"), alice, headers={"Want-Digest": "adler32"}).headers
    assert headers["Digest"] == f"adler32={content.digests['adler32']}"
    assert headers["Content-Type"] == "text/x-fields"
    assert headers["Content-Length"] == str(len(content.data))
    headers = gateway.call("HEAD", path("fields"), alice, headers={"Want-Repr-Digest": "sha-256=5"}).headers
    assert headers["Repr-Digest"].startswith("sha-256=:")


PARTS = [b"A" * PART_BYTES, b"B" * PART_BYTES, b"C" * 1_000]


@pytest.fixture(scope="session")
def parts(store):
    """An object in parts: a static large object in Swift, a multipart upload in S3."""
    store.filler.put_parts(BUCKET, "parts", PARTS)
    return content_of(b"".join(PARTS))


def test_digests_of_an_object_in_parts_are_those_of_the_whole_content(store, gateways, alice, parts):
    for way, gateway in gateways.items():
        response = gateway.get(path("parts", "?algorithm=md5,sha256,crc32&force=true"), alice, headers=JSON)
        if store.api == "swift" and way == "s3":
            # S3 shows another ETag for it, or none that binds its content: alone, it is no way.
            assert (response.status_code, code(response)) == (403, "object.forbidden")
            continue
        assert response.status_code == 200, (way, response.text)
        assert response.json()["digests"] == {each: parts.digests[each] for each in ("md5", "sha256", "crc32")}
        assert response.json()["size"] == len(parts.data)


def test_etag_of_an_object_in_parts_is_never_its_md5(gateway, alice, parts):
    answer = gateway.get(path("parts", "?algorithm=md5"), alice).json()
    assert answer["digests"]["md5"] == parts.digests["md5"]
    assert parts.digests["md5"] not in answer["etag"]


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_checksum_of_checksums_is_never_taken_for_one_of_the_content(store, gateway, alice, algorithm):
    needs(store, "checksums of the store")
    name = f"composite-{algorithm}"
    store.filler.put_parts(BUCKET, name, PARTS, algorithm=algorithm)
    head = store.filler.client.head_object(Bucket=BUCKET, Key=name, ChecksumMode="ENABLED")
    # The positive control: the store sends it, and says what it is.
    assert head["ChecksumType"] == "COMPOSITE"
    assert head[f"Checksum{algorithm}"].endswith("-3")
    wanted = algorithm.lower()
    answer = gateway.get(path(name, f"?algorithm={wanted}"), alice).json()
    assert answer["digests"][wanted] == content_of(b"".join(PARTS)).digests[wanted]
    assert answer["sources"][wanted] == "computed"


def test_checksum_of_the_whole_object_is_the_stores_own(store, gateway, alice):
    needs(store, "checksums of the store")
    content = content_of(b"checksum by the store")
    store.filler.client.put_object(Bucket=BUCKET, Key="checked", Body=content.data, ChecksumAlgorithm="SHA256")
    answer = gateway.get(path("checked", "?algorithm=sha256"), alice).json()
    assert (answer["digests"]["sha256"], answer["sources"]["sha256"]) == (content.digests["sha256"], "native")


@pytest.fixture(scope="session")
def dynamic(store):
    needs(store, "large objects of segments")
    store.filler.put_dynamic(BUCKET, "dynamic", PARTS)
    return content_of(b"".join(PARTS))


def test_digests_of_a_dynamic_large_object_are_those_of_the_whole_content(store, gateways, alice, dynamic):
    for way, gateway in gateways.items():
        response = gateway.get(path("dynamic", "?algorithm=md5,sha256&force=true"), alice, headers=JSON)
        if store.name != "swift" and way != "stream":
            # Ceph compares conditions with the ETag of the manifest's object, which the function cannot know.
            assert response.status_code in {403, 409}, (way, response.text)
            continue
        assert response.status_code == 200, (way, response.text)
        assert response.json()["digests"] == {each: dynamic.digests[each] for each in ("md5", "sha256")}


def test_large_objects_of_the_swift_api_have_no_false_md5_in_s3(store, start_gateway, alice, parts, dynamic):
    """Ceph's S3 API shows them like plain objects, with an ETag of 32 hexadecimal digits."""
    settings = {"OSFAAS_OBJECT_STORE": "s3", "OSFAAS_S3_ENDPOINT": store.url, "OSFAAS_STORE_ALLOWLIST": store.url}
    with start_gateway(**settings, OSFAAS_CAPABILITIES="stream") as gateway:
        for name in ("parts", "dynamic"):
            response = gateway.get(path(name, "?algorithm=md5&store=true"), alice, headers=JSON)
            if store.name == "swift":
                # Swift's S3 API may refuse the condition: then there is no digest, and no wrong one.
                assert response.status_code == 200 or code(response) in {"object.changed", "object.unsupported"}
                if response.status_code != 200:
                    continue
            assert response.status_code == 200, response.text
            assert response.json()["digests"]["md5"] == parts.digests["md5"]
            assert response.json()["sources"]["md5"] == "computed"
            if store.name != "swift":
                assert response.json()["stored"] is False


def test_segment_that_is_written_again_changes_the_digest(store, gateway, alice):
    """The store's ETag of a static large object may stay: nothing that was computed before counts then."""
    needs(store, "large objects of segments")
    store.filler.put_parts(BUCKET, "resegmented", [b"1" * 100_000, b"2" * 100_000])
    for query in ("?algorithm=sha1&store=true", "?algorithm=sha1"):
        first = gateway.get(path("resegmented", query), alice, headers=JSON)
        assert first.json()["digests"]["sha1"] == hashlib.sha1(b"1" * 100_000 + b"2" * 100_000).hexdigest()
    store.filler.put_segments(BUCKET, "resegmented", [b"1" * 100_000, b"3" * 100_000])
    second = gateway.get(path("resegmented", "?algorithm=sha1"), alice, headers=JSON)
    if store.name == "swift":
        # Swift compares: it returns the stored digest of what cannot be read any more.
        assert second.status_code == 200
        forced = gateway.get(path("resegmented", "?algorithm=sha1&force=true"), alice, headers=JSON)
        assert (forced.status_code, code(forced)) == (422, "object.unsupported")
        return
    assert second.json()["digests"]["sha1"] == hashlib.sha1(b"1" * 100_000 + b"3" * 100_000).hexdigest()


def test_large_object_without_one_of_its_segments_is_unsupported(store, gateway, alice):
    needs(store, "large objects of segments")
    store.filler.put_parts(BUCKET, "incomplete", [b"1" * 100_000, b"2" * 100_000])
    store.filler.session.delete(f"{store.filler.account}/{BUCKET}-segments/incomplete/1")
    response = gateway.get(path("incomplete", "?algorithm=sha1"), alice, headers=JSON)
    assert (response.status_code, code(response)) == (422, "object.unsupported")
    assert "segment" in response.json()["error"]["message"]


# --- versions


def test_version_has_its_own_digests_or_the_store_has_none(store, gateways, alice):
    """Never those of another version."""
    versions = store.filler.put_versions("versions", "x", [b"1", b"22"])
    for gateway in gateways.values():
        for version, data in zip(versions, (b"1", b"22"), strict=True):
            url = path("x", f"?algorithm=sha1&version-id={quote(version)}", "versions")
            response = gateway.get(url, alice, headers=JSON)
            if store.name in {"rgw-account", "rgw-plain"}:
                assert (response.status_code, code(response)) == (422, "object.unsupported")
            elif store.name == "swift" and response.status_code == 403:
                # TempURL alone is no way to a version, nor is Swift's S3 to one of its own API.
                assert gateway is not gateways["stream"]
            else:
                assert response.json()["digests"]["sha1"] == content_of(data).digests["sha1"]


def test_version_that_is_not_there_is_not_the_current_one(store, gateway, alice):
    store.filler.put_versions("versions", "y", [b"1"])
    response = gateway.get(path("y", "?algorithm=sha1&version-id=nowhere", "versions"), alice, headers=JSON)
    assert response.status_code in {400, 404, 422}


# --- stored digests


def test_stored_digests_keep_other_metadata_and_are_found_again(store, gateway, start_gateway, alice):
    content = content_of(b"kept in every store")
    fields = {"content_type": "text/x-mine", "content_disposition": "inline", "cache_control": "no-cache"}
    store.filler.put(BUCKET, "stored", content.data, {"colour": "blue"}, **fields)
    answer = gateway.get(path("stored", "?algorithm=adler32,sha256&store=true"), alice).json()
    assert answer["stored"] is True
    metadata = store.filler.metadata(BUCKET, "stored")
    assert metadata["adler32"] == content.digests["adler32"]
    assert metadata["colour"] == "blue"
    kept = {field: store.filler.field(BUCKET, "stored", field.replace("_", "-")) for field in fields}
    assert {key: value for key, value in kept.items() if key != "cache_control"} == {
        "content_type": "text/x-mine",
        "content_disposition": "inline",
    }
    with start_gateway(**store.settings) as other:
        found = other.get(path("stored", "?algorithm=adler32,sha256"), alice).json()
        assert found["sources"] == {"adler32": "stored", "sha256": "stored"}
        assert found["digests"]["sha256"] == content.digests["sha256"]


def test_stored_digests_of_other_content_do_not_count(store, gateway, alice):
    store.filler.put(BUCKET, "stale", b"first")
    assert gateway.get(path("stale", "?algorithm=adler32&store=true"), alice).json()["stored"] is True
    store.filler.put(BUCKET, "stale", b"second", store.filler.metadata(BUCKET, "stale"))
    answer = gateway.get(path("stale", "?algorithm=adler32"), alice).json()
    assert answer["digests"]["adler32"] == content_of(b"second").digests["adler32"]
    assert answer["sources"]["adler32"] == "computed"


def test_digests_are_not_written_to_content_that_replaced_theirs(store, start_gateway, alice):
    """The answer of the last stat before the copy is held until the object has other content and other metadata."""
    needs(store, "conditional write of digests")
    store.filler.put(BUCKET, "raced", b"of before")
    with barrier(int(store.url.rpartition(":")[2])) as front:
        url = f"http://127.0.0.1:{front.port}"
        settings = {**store.settings, "OSFAAS_S3_ENDPOINT": url, "OSFAAS_STORE_ALLOWLIST": url}
        with start_gateway(**settings, OSFAAS_CAPABILITIES="stream") as gateway:
            assert gateway.get(path("raced", "?algorithm=sha1"), alice).status_code == 200  # it is remembered
            held = front.hold(b"HEAD ", "before")
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                answer = pool.submit(gateway.get, path("raced", "?algorithm=sha1&store=true"), alice)
                # Two stats; in Ceph, the ETag of each is confirmed.
                for _ in range(3 if store.name == "rgw-s3" else 1):
                    assert held.there.wait(scaled(20))
                    following = front.hold(b"HEAD ", "before")
                    held.go.set()
                    held = following
                assert held.there.wait(scaled(20))
                store.filler.put(BUCKET, "raced", b"of now", {"colour": "new"})
                held.go.set()
                assert answer.result(scaled(60)).json()["stored"] is False
    assert store.filler.metadata(BUCKET, "raced") == {"colour": "new"}


# --- while it is read


def test_object_that_is_overwritten_while_it_is_read_has_changed(
    store, gateways, function, cloud, start_gateway, alice
):
    """The function's answer is held until the object has other content."""
    project = cloud.users["alice"].project_id
    for way in gateways:
        store.filler.put(BUCKET, "changing", b"of before" * 10_000)
        with barrier(function.port) as front:
            functions = {project: f"http://127.0.0.1:{front.port}"}
            settings = {**store.settings, "OSFAAS_CAPABILITIES": way}
            with start_gateway(functions=functions, **settings) as gateway:
                held = front.hold(b"POST / ", "before", last=False)
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    url = path("changing", "?algorithm=sha512&force=true")
                    answer = pool.submit(gateway.get, url, alice, headers=JSON)
                    assert held.there.wait(scaled(20)), way
                    store.filler.put(BUCKET, "changing", b"of now")
                    held.go.set()
                    response = answer.result(scaled(60))
                assert (response.status_code, code(response)) == (409, "object.changed"), way
                fresh = gateway.get(url, alice).json()
                assert fresh["digests"]["sha512"] == content_of(b"of now").digests["sha512"]


# --- capabilities


def offered(gateway, store, alice, name: str, front) -> str:
    """The URL that the function is given for an object; it never receives the token."""
    before = len(front.sent)
    response = gateway.get(path(name, "?algorithm=sha1&force=true"), alice)
    assert response.status_code == 200, response.text
    sent = bytes(front.sent[before:])
    assert alice.encode() not in sent
    return json.loads(sent[sent.index(b'{"source"') :].partition(b"}")[0] + b"}}")["source"]["url"]


@pytest.mark.parametrize("way", ["tempurl", "s3"])
def test_capability_reads_one_object_writes_nothing_and_ends(store, function, cloud, start_gateway, alice, way):
    from relay import relay

    if way == "tempurl":
        needs(store, "TempURL")
    for name in ("bound", "other"):
        store.filler.put(BUCKET, name, name.encode())
    project = cloud.users["alice"].project_id
    with relay(function.port) as wire:
        functions = {project: f"http://127.0.0.1:{wire.port}"}
        settings = {**store.settings, "OSFAAS_CAPABILITIES": way, "OSFAAS_CAPABILITY_SECONDS": "8"}
        with start_gateway(functions=functions, **settings) as gateway:
            url = offered(gateway, store, alice, "bound", wire)
    begun = time.monotonic()
    with httpx.Client(timeout=scaled(60)) as client:
        if client.get(url).content != b"bound":
            assert time.monotonic() - begun > 5, "the URL does not read its object"
        ranged = client.get(url, headers={"Range": "bytes=1-2"})
        assert (ranged.status_code, ranged.content) in {(206, b"ou"), (401, ranged.content), (403, ranged.content)}
        for method, target in (("GET", url.replace("/bound?", "/other?")), ("PUT", url), ("DELETE", url)):
            refused = client.request(method, target, content=b"evil" if method == "PUT" else None)
            assert refused.status_code in {401, 403}, (method, target)
        wait_until(lambda: client.get(url).status_code in {401, 403}, what="the end of the URL")
    assert store.filler.metadata(BUCKET, "bound") is not None


# --- faults


def restarted(service: Service) -> None:
    service.kill()
    service.restart()


@pytest.mark.parametrize("part", ["front", "disk"])
def test_store_that_is_down_is_unavailable_and_serves_again_after_its_restart(store, gateways, alice, part):
    if part == "disk":
        needs(store, "storage daemon killed alone")
    store.filler.put(BUCKET, "lasting", b"lasting")
    gateway = gateways["stream"]
    store.services[part].kill()
    try:
        response = gateway.get(path("lasting", "?algorithm=sha1&force=true"), alice, headers=JSON)
        # Swift's proxy says "not found" of an object whose only copy cannot be asked for.
        expected = {(503, "store.unavailable"), (404, "object.not_found")}
        assert (response.status_code, code(response)) in expected
        assert response.status_code == 503 or (store.name, part) in {("swift", "disk"), ("swift-s3", "disk")}
    finally:
        store.services[part].restart()

    def serves() -> bool:
        answer = gateway.get(path("lasting", "?algorithm=sha1&force=true"), alice, headers=JSON)
        return answer.status_code == 200

    wait_until(serves, seconds=60, what="the store")
    answer = gateway.get(path("lasting", "?algorithm=sha1&force=true"), alice, headers=JSON)
    assert answer.json()["digests"]["sha1"] == content_of(b"lasting").digests["sha1"]


@pytest.mark.parametrize("part", ["front", "disk"])
def test_store_that_is_killed_during_a_read_gives_the_right_digest_or_an_error(store, gateways, alice, part):
    if part == "disk":
        needs(store, "storage daemon killed alone")
    data = bytes(range(256)) * (1 << 18)  # 64 MiB
    store.filler.put(BUCKET, "sixty-four", data)
    right = hashlib.sha256(data).hexdigest()
    for way, gateway in gateways.items():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            url = path("sixty-four", "?algorithm=sha256&force=true")
            answers = [pool.submit(gateway.get, url, alice, headers=JSON) for _ in range(4)]
            time.sleep(0.15)
            restarted(store.services[part])
            responses = [answer.result(scaled(120)) for answer in answers]
        for response in responses:
            if response.status_code == 200:
                assert response.json()["digests"]["sha256"] == right, way
            else:
                assert code(response) in {
                    "store.unavailable",
                    "object.truncated",
                    "object.not_found",
                    "keystone.unavailable",
                }, way
        wait_until(lambda each=gateway, again=url: each.get(again, alice).status_code == 200, what="the store")
        assert gateway.get(url, alice).json()["digests"]["sha256"] == right
