"""What storage clients read: header fields of HEAD and GET."""

import base64

import httpx
import jsonschema
import pytest
from conftest import content_of

from tests.machine import scaled

pytestmark = pytest.mark.main_story

CONTENT = content_of(b"digest fields")


@pytest.fixture(scope="module")
def path(bucket):
    bucket.put("fields", CONTENT.data, Content_Type="text/x-fields")
    return bucket.path("fields")


def b64(algorithm: str) -> str:
    return base64.b64encode(bytes.fromhex(CONTENT.digests[algorithm])).decode()


def test_an_unknown_algorithm_is_an_error_as_an_order_and_nothing_as_a_wish(gateway, path, alice):
    ordered = gateway.get(path + "?algorithm=rot13", alice, headers={"Accept": "application/json"})
    assert (ordered.status_code, ordered.json()["errors"][0]["code"]) == (400, "algorithm.unknown")
    wished = gateway.call("HEAD", path, alice, headers={"Want-Digest": "rot13"})
    assert (wished.status_code, "Digest" in wished.headers) == (200, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("field", "wish", "answer"),
    [
        ("Want-Digest", "adler32", f"adler32={CONTENT.digests['adler32']}"),
        ("Want-Digest", "ADLER", f"adler={CONTENT.digests['adler32']}"),
        ("Want-Digest", "md5", f"md5={b64('md5')}"),
        ("Want-Digest", "sha-256;q=0.5, md5;q=0.2, rot13", f"sha-256={b64('sha256')}"),
        ("Want-Digest", "adler32,md5", f"adler32={CONTENT.digests['adler32']},md5={b64('md5')}"),
        ("Want-Repr-Digest", "sha-256=10, md5=1", f"sha-256=:{b64('sha256')}:"),
        ("Want-Repr-Digest", "adler=5", f"adler=:{b64('adler32')}:"),
    ],
)
def test_the_most_wanted_digests_come_in_the_field_that_belongs_to_the_wish(
    gateway, path, alice, *, method, field, wish, answer
):
    response = gateway.call(method, path, alice, headers={field: wish})
    assert response.headers[field.removeprefix("Want-")] == answer
    assert ("Digest" in response.headers) != ("Repr-Digest" in response.headers)


def test_want_digest_beats_want_repr_digest(gateway, path, alice):
    wishes = {"Want-Digest": "md5", "Want-Repr-Digest": "md5=1"}
    headers = gateway.call("HEAD", path, alice, headers=wishes).headers
    assert headers["Digest"] == f"md5={b64('md5')}"
    assert "Repr-Digest" not in headers


def test_head_speaks_of_the_object(gateway, path, alice):
    headers = gateway.call("HEAD", path, alice).headers
    assert headers["Content-Length"] == str(len(CONTENT.data))
    assert headers["Content-Type"] == "text/x-fields"
    assert headers["ETag"] == f'"{CONTENT.digests["md5"]}"'
    assert "Content-MD5" not in headers
    assert headers["Digest"] == f"adler32={CONTENT.digests['adler32']},md5={b64('md5')}"


def test_answer_with_another_body_than_the_object_has_no_digest_field_unasked(gateway, path, alice):
    """RFC 9530, 2: whoever held it against the body would find it wrong."""
    for accept in ("application/json", "text/plain"):
        response = gateway.get(path + "?algorithm=md5", alice, headers={"Accept": accept})
        assert response.status_code == 200
        assert not {"digest", "repr-digest"} & response.headers.keys()


@pytest.mark.parametrize(
    ("method", "url", "meant"),
    [
        ("GET", "PATH?algoritm=sha256", "(did you mean 'algorithm'?)"),
        ("HEAD", "PATH?algoritm=sha256", ""),
        ("GET", "/checksums/?bucket=b&file=o&algorithms=md5", "(did you mean 'algorithm'?)"),
        ("GET", "/v1/checksums?bucket=b&fil=o", "(did you mean 'file'?)"),
        ("POST", "/v1/checksums?algorithm=md5", "takes no parameters"),
        ("POST", "/v1/events?algoritms=md5", "(did you mean 'algorithm'?)"),
        ("GET", "/v1/limits?project=x", "takes no parameters"),
    ],
)
def test_unknown_parameter_is_refused_with_the_one_that_was_meant(gateway, path, alice, *, method, url, meant):
    response = gateway.call(method, url.replace("PATH", path), alice, headers={"Accept": "application/json"})
    assert response.status_code == 400
    if method != "HEAD":
        assert response.json()["errors"][0]["code"] == "request.malformed"
        assert meant in response.json()["error"]["message"]


def test_json_shows_names_as_they_are(gateway, bucket, alice):
    bucket.put("grün/日本", b"x")
    one = gateway.get(bucket.path("grün/日本"), alice)
    order = {"objects": [{"container": bucket.name, "object": name} for name in ("grün/日本", "grün/none")]}
    many = gateway.call("POST", "/v1/checksums", alice, json=order)
    for text in (one.content, many.content):
        assert "grün/日本".encode() in text
        assert b"\\u" not in text
        assert b'": ' not in text
    error = gateway.get("/v1/checksums/x/y?z=ü".replace("ü", "%C3%BC"), alice, headers={"Accept": "application/json"})
    assert b'": ' not in error.content


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("algorithm", ["adler", "adler32", "md5", "sha-256"])
def test_an_assertion_that_is_wrong_is_refused_with_the_right_digest(gateway, path, alice, method, algorithm):
    name = {"adler": "adler32", "sha-256": "sha256"}.get(algorithm, algorithm)
    right = b64(name)
    wrong = base64.b64encode(bytes(len(bytes.fromhex(CONTENT.digests[name])))).decode()
    refused = gateway.call(method, path, alice, headers={"Repr-Digest": f"{algorithm}=:{wrong}:"})
    assert refused.status_code == 412
    assert refused.headers["Repr-Digest"] == f"{algorithm}=:{right}:"
    if method == "GET":
        assert CONTENT.digests[name] in refused.text
    accepted = gateway.call(method, path, alice, headers={"Repr-Digest": f"{algorithm}=:{right}:"})
    assert (accepted.status_code, accepted.content) == (204, b"")


def test_an_assertion_says_nothing_of_an_object_that_cannot_be_read(gateway, path, alice):
    asserted = {"Repr-Digest": f"md5=:{b64('md5')}:"}
    assert gateway.call("HEAD", "/v1/checksums/nowhere/x", alice, headers=asserted).status_code == 404
    assert gateway.call("HEAD", path, headers=asserted).status_code == 401


def test_an_assertion_and_a_preference_are_both_answered(gateway, path, alice):
    fields = {"Repr-Digest": f"adler=:{b64('adler32')}:", "Want-Repr-Digest": "sha-256=10"}
    accepted = gateway.call("HEAD", path, alice, headers=fields)
    assert (accepted.status_code, accepted.headers["Repr-Digest"]) == (204, f"sha-256=:{b64('sha256')}:")


def test_the_bare_value_comes_as_text(gateway, path, alice):
    response = gateway.get(path + "?algorithm=sha1", alice, headers={"Accept": "text/plain"})
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.text == CONTENT.digests["sha1"] + "\n"


def test_storage_clients_get_errors_as_a_sentence_and_api_clients_as_json(gateway, alice):
    missing, sentence = "/v1/checksums/nowhere/x", "There is no such container or object in the project's account."
    for headers in ({"Want-Digest": "md5"}, {"Want-Repr-Digest": "md5=1"}, {"Accept": "text/plain"}):
        assert gateway.get(missing, alice, headers=headers).text == sentence + "\n"
    for headers in ({}, {"Accept": "application/json", "Want-Digest": "md5"}):
        assert gateway.get(missing, alice, headers=headers).json()["error"]["message"] == sentence


def test_answers_and_errors_fit_the_openapi_document(gateway, path, alice):
    document = gateway.get("/v1/openapi.json").json()

    def check(instance: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(instance, schema)

    check(gateway.get(path + "?store=true", alice).json(), "Digests")
    for response in (gateway.get("/checksums/", alice), gateway.get("/v1/nothing"), gateway.get("/checksums/")):
        check(response.json(), "Error")


def test_what_the_router_refuses_has_a_code_and_an_id(gateway):
    for response, code in (
        (gateway.get("/no/such/path"), "route.not_found"),
        (gateway.call("POST", "/v1/checksums/a/b"), "method.not_allowed"),
    ):
        assert response.json()["errors"][0]["code"] == code
        assert response.json()["errors"][0]["request_id"] == response.headers["X-Openstack-Request-Id"]


def test_links_of_the_version_document_never_come_from_the_request(gateway):
    for path in ("/", "/v1/"):
        response = httpx.get(gateway.url + path, headers={"Host": "evil.example"}, timeout=scaled(60))
        assert response.json()["versions"][0]["links"][0]["href"] == f"{gateway.url}/v1/"


def test_health_is_told_as_oslo_does(gateway):
    assert gateway.get("/healthcheck").text == "OK"
    assert gateway.call("HEAD", "/healthcheck").status_code == 204
