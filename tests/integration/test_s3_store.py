"""S3 as the store: looked up, read and written with the caller's own EC2 credential."""

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
    assert s3_gateway.get(bucket.path(name) + "?algorithm=md5", alice).json()["sources"] == {"md5": "native"}


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
