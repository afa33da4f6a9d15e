"""S3 as the store: looked up, read and written with the caller's own EC2 credential."""

import json

import pytest
from conftest import content_of

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module", params=["s3", "stream"])
def s3_gateway(request, start_gateway):
    with start_gateway(OSFAAS_OBJECT_STORE="s3", OSFAAS_CAPABILITIES=request.param) as gateway:
        yield gateway


def code(response):
    return response.json()["errors"][0]["code"]


def test_a_caller_without_an_ec2_credential_is_told_how_to_make_one(s3_gateway, bucket, cloud):
    for token in (cloud.token("bob"), cloud.application_credential_token("plain")):
        response = s3_gateway.get(bucket.path("x"), token, headers=JSON)
        assert (response.status_code, code(response)) == (403, "object.no_ec2_credential")


def test_a_missing_object_is_not_found(s3_gateway, alice):
    response = s3_gateway.get("/v1/checksums/data/s3-nowhere", alice, headers=JSON)
    assert (response.status_code, code(response)) == (404, "object.not_found")


@pytest.mark.parametrize("name", ["s3/plain", "s3/spaces and + %20 ü?#"])
def test_digests_are_those_of_the_content(s3_gateway, bucket, alice, name):
    content = content_of(f"s3 {name}".encode() * 1000)
    bucket.put(name, content.data)
    answer = s3_gateway.get(bucket.path(name) + "?algorithm=md5,sha256,adler32&force=true", alice).json()
    assert answer["digests"] == {key: content.digests[key] for key in ("md5", "sha256", "adler32")}
    # Nothing in Swift's S3 API tells a plain object from a dynamic large one, whose ETag is no MD5.
    assert s3_gateway.get(bucket.path(name) + "?algorithm=md5", alice).json()["sources"] == {"md5": "remembered"}


def test_stored_digests_keep_other_metadata(s3_gateway, start_gateway, bucket, alice):
    bucket.put("s3/stored", b"kept in s3", X_Object_Meta_Colour="blue", Content_Type="text/x-mine")
    answer = s3_gateway.get(bucket.path("s3/stored") + "?algorithm=adler32&store=true&force=true", alice).json()
    assert answer["stored"] is True
    head = bucket.head("s3/stored")
    assert head["X-Object-Meta-Adler32"] == content_of(b"kept in s3").digests["adler32"]
    assert (head["X-Object-Meta-Colour"], head["Content-Type"]) == ("blue", "text/x-mine")
    # Swift and S3 show the same metadata, so what one stored the other knows.
    with start_gateway() as other:
        assert other.get(bucket.path("s3/stored") + "?algorithm=adler32", alice).json()["sources"] == {
            "adler32": "stored"
        }


def test_many_objects_are_read_by_the_gateway_with_the_callers_credential(s3_gateway, bucket, alice, cloud):
    contents = {f"s3/many {number:02} ü": content_of(bytes([number]) * (number * 3_000)) for number in range(25)}
    for name, content in contents.items():
        bucket.put(name, content.data)
    names = [*contents, "s3/none"]
    order = {
        "objects": [{"container": bucket.name, "object": name} for name in names],
        "algorithms": ["sha256"],
        "force": True,
    }
    answer = s3_gateway.call("POST", "/v1/checksums", alice, json=order)
    lines = {line["index"]: line for line in map(json.loads, filter(None, answer.text.splitlines()))}
    for index, content in enumerate(contents.values()):
        assert lines[index].get("digests") == {"sha256": content.digests["sha256"]}, lines[index]
    assert lines[25]["errors"][0]["code"] == "object.not_found"
    refused = s3_gateway.call("POST", "/v1/checksums", cloud.token("bob"), json=order)
    codes = {json.loads(line)["errors"][0]["code"] for line in refused.text.splitlines() if line}
    assert codes == {"object.no_ec2_credential"}
