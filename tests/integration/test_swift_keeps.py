"""What keeping digests must not do to an object in Swift, whose POST replaces all metadata and takes no condition."""

import hashlib
import json
import time

import pytest
from conftest import content_of

STORE = "?algorithm=sha256&store=true&force=true"


def own(response) -> dict[str, str]:
    """What of an object's header fields an owner or a digest put there."""
    names = ("x-object-meta-", "x-delete-at", "x-symlink-target", "content-disposition")
    return {name.lower(): value for name, value in response.headers.items() if name.lower().startswith(names)}


@pytest.fixture
def target(bucket):
    """An object in another container that expires."""
    url = bucket.url + "_targets"
    bucket.session.put(url)
    fields = {"X-Object-Meta-Color": "red", "X-Delete-At": str(int(time.time()) + 3_000)}
    bucket.session.put(f"{url}/target", data=b"target", headers=fields)
    return f"{url.rpartition('/')[2]}/target"


@pytest.mark.parametrize("kind", ["dynamic", "static", "chain"])
@pytest.mark.parametrize("way", ["single", "bulk", "event"])
def test_symlink_keeps_its_own_metadata_and_nothing_is_said_to_be_stored(gateway, bucket, alice, target, kind, way):
    """Swift's HEAD shows the target's fields, and its POST replaces the link's before it answers 307."""
    name, fields = f"link-{kind}-{way}", {"X-Symlink-Target": target, "X-Object-Meta-Mine": "precious"}
    if kind == "static":
        fields["X-Symlink-Target-Etag"] = hashlib.md5(b"target").hexdigest()
    if kind == "chain":
        bucket.session.put(f"{bucket.url}/middle", headers={"X-Symlink-Target": target})
        fields["X-Symlink-Target"] = f"{bucket.name}/middle"
    bucket.session.put(f"{bucket.url}/{name}", headers=fields)
    link, behind = f"{bucket.url}/{name}?symlink=get", f"{bucket.url.rpartition('/')[0]}/{target}"
    before = own(bucket.session.head(link)), own(bucket.session.head(behind))
    assert before[0]["x-object-meta-mine"] == "precious"
    if way == "single":
        answer = gateway.get(bucket.path(name) + STORE, alice).json()
    elif way == "bulk":
        order = {"objects": [{"container": bucket.name, "object": name}], "algorithms": ["sha256"], "store": True}
        answer = json.loads(gateway.call("POST", "/v1/checksums", alice, json=order).text)
    else:
        record = {"s3": {"bucket": {"name": bucket.name}, "object": {"key": name}}, "eventName": "ObjectCreated:Put"}
        sent = gateway.call("POST", "/v1/events?algorithm=sha256", alice, json={"Records": [record]})
        assert sent.status_code == 204, sent.text
        answer = None
    assert (own(bucket.session.head(link)), own(bucket.session.head(behind))) == before
    if answer:
        assert answer["digests"]["sha256"] == content_of(b"target").digests["sha256"]
        assert answer["stored"] is False


def test_object_in_a_container_with_versions_is_no_symlink_to_its_owner(gateway, bucket, alice):
    """Swift keeps it behind a link of its own and says so in the same field."""
    url = bucket.url + "_versions"
    bucket.session.put(url, headers={"X-Versions-Enabled": "true"})
    bucket.session.put(f"{url}/ü b", data=b"versioned", headers={"X-Object-Meta-Mine": "precious"})
    answer = gateway.get(f"/v1/checksums/{url.rpartition('/')[2]}/%C3%BC%20b{STORE}", alice).json()
    assert answer["stored"] is True
    kept = own(bucket.session.head(f"{url}/ü b"))
    assert kept["x-object-meta-mine"] == "precious"
    assert kept["x-object-meta-sha256"] == content_of(b"versioned").digests["sha256"]


def test_object_that_expires_keeps_its_expiry_and_gets_no_digest(gateway, bucket, alice):
    """A POST without the expiry takes it away; one with it would set it on an object that was put meanwhile."""
    at = str(int(time.time()) + 3_000)
    bucket.put("expires", b"expires", X_Delete_At=at, X_Object_Meta_Mine="precious")
    before = own(bucket.session.head(f"{bucket.url}/expires"))
    answer = gateway.get(bucket.path("expires") + STORE, alice).json()
    assert (answer["stored"], answer["sources"]) == (False, {"sha256": "computed"})
    assert own(bucket.session.head(f"{bucket.url}/expires")) == before
    assert before["x-delete-at"] == at


def test_swift_takes_the_expiry_away_with_a_post_that_does_not_repeat_it(bucket):
    """The positive control: why objects that expire are left alone."""
    bucket.put("expired", b"expires", X_Delete_At=str(int(time.time()) + 3_000))
    bucket.session.post(f"{bucket.url}/expired", headers={"X-Object-Meta-Sha256": "0"})
    assert "x-delete-at" not in own(bucket.session.head(f"{bucket.url}/expired"))
