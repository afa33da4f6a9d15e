"""What the events of RGW, MinIO and AWS say, in every shape in which they come."""

import base64
import json
from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.events.envelope import envelopes_of
from gateway.events.records import Happening, ObjectEvent, object_events
from gateway.objects.model import ObjectRef

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
SIZES = {"aws": 1024, "rgw": "1024", "minio": 1024}


def record(name: str | None = "ObjectCreated:Put", key: str = "a%2Fb+c.txt", **entry: Any) -> dict[str, Any]:
    """A record as AWS writes it; fields that are None are not there."""
    entry = {"key": key, "size": 1024, "eTag": "e" * 32, "versionId": "", "sequencer": "0055AED6DCD90281E5", **entry}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        **({"eventName": name} if name else {}),
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "bucket", "arn": "arn:aws:s3:::bucket"},
            "object": {key: value for key, value in entry.items() if value is not None},
        },
    }


def rgw_headers(ce_type: str = "com.amazonaws.ObjectCreated:Put") -> dict[str, str]:
    """As RGW writes them with `cloudevents=true`."""
    return {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": ce_type,
        "ce-time": "2026-11-24T10:00:00.123456Z",
        "ce-id": "tx00001.abc",
        "ce-source": "ceph:s3.default.bucket",
        "ce-subject": "a/b c.txt",
    }


def cloud_event(data: Any, ce_type: str = "com.amazonaws.s3:ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "s", "type": ce_type, "data": data, **more}


def events_in(headers: dict[str, str], document: Any, *, most: int = 10) -> list[ObjectEvent]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return [event for envelope in envelopes_of(headers, body, most=most) for event in object_events(envelope)]


def structured(document: Any) -> list[ObjectEvent]:
    return events_in({"content-type": STRUCTURED}, document)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({"content-type": STRUCTURED}, b"{", id="broken-json"),
        pytest.param({"content-type": STRUCTURED}, b"[]", id="list-as-one-event"),
        pytest.param({"content-type": STRUCTURED}, b"\xff", id="not-utf8"),
        pytest.param({"content-type": STRUCTURED}, b'{"specversion":"1.0"}', id="attributes-missing"),
        pytest.param({"content-type": STRUCTURED}, json.dumps(cloud_event(None)).encode(), id="no-data"),
        pytest.param({"content-type": STRUCTURED}, json.dumps(cloud_event({"x": 1})).encode(), id="other-data"),
        pytest.param(
            {"content-type": STRUCTURED}, json.dumps(cloud_event({}, time="yesterday")).encode(), id="no-time"
        ),
        pytest.param(
            {"content-type": STRUCTURED},
            json.dumps(cloud_event({}, time="9999-12-31T24:00:00Z")).encode(),
            id="time-beyond-the-last",
        ),
        pytest.param({"content-type": BATCH}, b"{}", id="batch-no-list"),
        pytest.param({"content-type": BATCH}, b"[5]", id="batch-of-numbers"),
        pytest.param({"content-type": BATCH}, b"[" + b"{}," * 10 + b"{}]", id="batch-too-long"),
        pytest.param(rgw_headers(), b"{", id="binary-broken-json"),
        pytest.param(rgw_headers() | {"ce-id": ""}, b"{}", id="binary-without-records"),
        pytest.param({"content-type": "application/json"}, b"5", id="bare-number"),
        pytest.param({"content-type": "application/json"}, b"[" * 100_000, id="deep"),
        pytest.param({"content-type": "text/xml"}, b"<a/>", id="xml"),
        pytest.param({}, b"", id="nothing"),
    ],
)
def test_what_is_no_event_of_an_object_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        events_in(headers, body)
    assert caught.value.kind is Kind.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "broken",
    [
        5,
        None,
        {},
        {"s3": 5},
        {"s3": {"bucket": {}, "object": {}}},
        record(key=5),  # type: ignore[arg-type]
        record(key=""),
        record(key="k" * 1025),
        record(eTag=7),
        {**record(), "eventName": 5},
    ],
)
def test_record_that_is_not_s3s_is_refused(broken: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        structured(cloud_event({"Records": [broken]}))
    assert caught.value.kind is Kind.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectAccessed:Get",
        "s3:ObjectTagging:Put",
        "ObjectRestore:Completed",
        "s3:ObjectCreated:",
        "xs3:ObjectCreated:Put",
        "com.amazonaws.ec2:ObjectCreated:Put",
        "dev.knative.kafka.event",
    ],
)
def test_what_is_no_creation_concerns_nobody(name: str) -> None:
    (event,) = structured(cloud_event({"Records": [record(name)]}, name))
    assert event.happening is Happening.OTHER


@pytest.mark.parametrize("etag", [None, ""])
def test_beginning_of_a_multipart_upload_is_no_creation(etag: str | None) -> None:
    (event,) = structured(cloud_event({"Records": [record("ObjectCreated:Post", eTag=etag, size=0)]}))
    assert event.happening is Happening.OTHER
    (form,) = structured(cloud_event({"Records": [record("ObjectCreated:Post")]}))
    assert form.happening is Happening.WRITTEN


@pytest.mark.parametrize("prefix", ["", "s3:", "com.amazonaws.", "com.amazonaws.s3:", "com.amazonaws.s3."])
@pytest.mark.parametrize(
    ("word", "happening"),
    [
        ("Put", Happening.WRITTEN),
        ("CompleteMultipartUpload", Happening.WRITTEN),
        ("Copy", Happening.COPIED),
    ],
)
@pytest.mark.parametrize("place", ["record", "type"])
def test_every_spelling_of_a_creation_is_understood(prefix: str, word: str, happening: Happening, place: str) -> None:
    name = f"{prefix}ObjectCreated:{word}"
    made = record(name) if place == "record" else record(None)
    (event,) = structured(cloud_event(made, name if place == "type" else "dev.knative.kafka.event"))
    assert event.happening is happening


MODES = {
    "binary-records": (rgw_headers(), {"Records": [record()]}),
    "binary-one-record": (rgw_headers(), record()),
    "structured": ({"content-type": STRUCTURED + "; charset=UTF-8"}, cloud_event({"Records": [record()]})),
    "structured-base64": (
        {"content-type": STRUCTURED},
        {
            **{k: v for k, v in cloud_event(None).items() if k != "data"},
            "data_base64": base64.b64encode(json.dumps(record()).encode()).decode(),
        },
    ),
    "structured-json-in-a-string": ({"content-type": STRUCTURED}, cloud_event(json.dumps({"Records": [record()]}))),
    "batch": ({"content-type": BATCH}, [cloud_event({"Records": [record()]})]),
    "minio-webhook": (
        {"content-type": "application/json"},
        {"EventName": "s3:ObjectCreated:Put", "Key": "bucket/a/b c.txt", "Records": [record("s3:ObjectCreated:Put")]},
    ),
    "kafka-source": (
        rgw_headers("dev.knative.kafka.event") | {"ce-knativearrivaltime": "2026-11-24T10:00:00Z"},
        {"Records": [record("s3:ObjectCreated:Put")]},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("maker", SIZES)
def test_every_mode_gives_the_same_event(mode: str, maker: str) -> None:
    headers, document = MODES[mode]
    text = json.dumps(document).replace('"size": 1024', f'"size": {json.dumps(SIZES[maker])}')
    text = text.replace('"eTag"', '"etag"') if maker == "rgw" else text
    (event,) = events_in(headers, text.encode())
    assert event.happening is Happening.WRITTEN
    assert event.refs == (ObjectRef("bucket", "a/b c.txt"), ObjectRef("bucket", "a%2Fb+c.txt"))
    assert event.identity == ("bucket", "a%2Fb+c.txt", "", "0055AED6DCD90281E5", "e" * 32)


def test_batch_keeps_every_record_of_every_event() -> None:
    batch = [cloud_event({"Records": [record(key="1"), record(key="2")]}), cloud_event(record(key="3"))]
    assert [event.refs[0].name for event in events_in({"content-type": BATCH}, batch)] == ["1", "2", "3"]


def test_key_of_rgw_which_encodes_none_is_first_read_as_it_stands() -> None:
    (event,) = structured(cloud_event({**record(key="a+b%20c"), "eventSource": "ceph:s3"}))
    assert [ref.name for ref in event.refs] == ["a+b%20c", "a b c"]
    (event,) = structured(cloud_event(record(key="a+b%20c")))
    assert [ref.name for ref in event.refs] == ["a b c", "a+b%20c"]


def test_key_that_cannot_be_an_encoded_one_stands_for_itself() -> None:
    (event,) = structured(cloud_event(record(key="100%ff.dat")))
    assert event.refs == (ObjectRef("bucket", "100%ff.dat"),)


def test_key_without_escapes_is_read_in_one_way_only() -> None:
    (event,) = structured(cloud_event(record(key="plain/key.txt")))
    assert event.refs == (ObjectRef("bucket", "plain/key.txt"),)


def test_two_events_differ_by_version_sequencer_or_content_and_not_by_the_way_they_came() -> None:
    made = [
        record(),
        record(versionId="v2"),
        record(sequencer="2"),
        record(sequencer=None),
        record(sequencer=None, eTag="f" * 32),
        record(key="other"),
    ]
    identities = [structured(cloud_event(each))[0].identity for each in made]
    assert len(set(identities)) == len(made)
    assert events_in(rgw_headers(), record())[0].identity == identities[0]


def test_event_that_nothing_tells_from_another_has_no_identity() -> None:
    (event,) = structured(cloud_event(record(sequencer=None, eTag=None)))
    assert event.identity is None


def test_test_message_of_a_new_subscription_is_taken_in_silence() -> None:
    assert events_in({"content-type": "application/json"}, {"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


@pytest.mark.parametrize(
    "entry",
    [{"versionId": ["v"]}, {"versionId": {"v": 1}}, {"versionId": 7}, {"key": 7}, {"key": ["k"]}, {"eTag": ["e"]}],
)
def test_record_whose_names_are_no_words_is_none(entry: dict[str, Any]) -> None:
    """What tells events apart is remembered, and a list cannot be."""
    with pytest.raises(GatewayError) as caught:
        structured(cloud_event({"Records": [record(**entry)]}))
    assert caught.value.kind is Kind.REQUEST_MALFORMED


def test_record_of_a_bucket_without_a_name_is_none() -> None:
    one = record()
    one["s3"]["bucket"]["name"] = ["bucket"]
    with pytest.raises(GatewayError) as caught:
        structured(cloud_event({"Records": [one]}))
    assert caught.value.kind is Kind.REQUEST_MALFORMED
