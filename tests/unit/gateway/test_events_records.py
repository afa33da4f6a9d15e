"""What the events of RGW, MinIO and AWS say, in every shape in which they come."""

import asyncio
import base64
import hashlib
import json
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest

from gateway import slices
from gateway.errors import ErrorCode, GatewayError
from gateway.events.records import Happening, ObjectEvent, read_events
from gateway.objects.model import ObjectRef
from gateway.slices import ITEMS_PER_READING, PAUSE_ITERATIONS

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
    return asyncio.run(read_events(headers, body, most=most))


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
        pytest.param({}, b"", id="nothing"),
    ],
)
def test_what_is_no_event_of_an_object_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        events_in(headers, body)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_body_that_says_that_it_is_something_else_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        events_in({"content-type": "text/xml"}, b"<a/>")
    assert caught.value.kind is ErrorCode.REQUEST_MEDIA_TYPE


@pytest.mark.parametrize("field", ["ce-id", "ce-source", "ce-type"])
def test_binary_event_without_what_every_event_has_is_refused(field: str) -> None:
    for headers in (rgw_headers() | {field: ""}, {k: v for k, v in rgw_headers().items() if k != field}):
        with pytest.raises(GatewayError) as caught:
            events_in(headers, record())
        assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"Records": [record()] * 11}, id="records"),
        pytest.param([{"Records": [record()] * 6}] * 2, id="records-of-a-batch"),
    ],
)
def test_more_records_than_allowed_are_refused_however_they_are_packed(document: Any) -> None:
    batch = isinstance(document, list)
    events = [cloud_event(each) for each in document] if batch else cloud_event(document)
    with pytest.raises(GatewayError) as caught:
        events_in({"content-type": BATCH if batch else STRUCTURED}, events)
    assert "more than 10 records" in caught.value.message


@pytest.mark.parametrize("mark", ["versionId", "sequencer", "eTag", "etag"])
def test_mark_that_is_longer_than_s3s_is_refused(mark: str) -> None:
    assert structured(cloud_event(record(**{mark: "m" * 1_024})))
    with pytest.raises(GatewayError) as caught:
        structured(cloud_event(record(**{mark: "m" * 1_025})))
    assert "length <= 1024" in caught.value.message


def test_what_is_kept_of_an_event_has_one_size() -> None:
    events = [structured(cloud_event(record(sequencer=mark * 1_000)))[0] for mark in ("s", "\U0001f600")]
    assert [len(event.identity or b"") for event in events] == [32, 32]


@pytest.mark.parametrize("junk", ["[],", "{},", "1,", '"",'])
def test_what_is_not_looked_at_takes_no_memory(junk: str) -> None:
    """2 MB of it were 48 MB."""
    one = record()
    text = json.dumps(cloud_event({"Records": [one], "more": "JUNK"})).replace('"JUNK"', f"[{junk * 500_000}1]")
    body = text.encode()
    tracemalloc.start()
    events = structured(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(events) == 1
    assert peak < 200_000


async def test_reading_many_records_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With slices of no length, on a machine of any speed."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    body = json.dumps({"Records": [record()] * 5_000}).encode()
    reading, turns = asyncio.ensure_future(read_events({}, body, most=5_000)), 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(await reading) == 5_000
    assert turns >= 5_000 // ITEMS_PER_READING * PAUSE_ITERATIONS


def test_key_whose_escapes_make_it_longer_than_a_name_may_be_is_read() -> None:
    name = "ж" * 500
    (event,) = structured(cloud_event(record(key=quote(name))))
    assert event.refs == (ObjectRef("bucket", name),)


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
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


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


IDENTITY = hashlib.sha256(json.dumps(["bucket", "a%2Fb+c.txt", "", "0055AED6DCD90281E5", "e" * 32]).encode()).digest()
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
    assert event.identity == IDENTITY
    assert event.etag == "e" * 32


def test_batch_keeps_every_record_of_every_event() -> None:
    batch = [cloud_event({"Records": [record(key="1"), record(key="2")]}), cloud_event(record(key="3"))]
    assert [event.refs[0].name for event in events_in({"content-type": BATCH}, batch)] == ["1", "2", "3"]


def test_key_of_rgw_which_encodes_none_is_first_read_as_it_stands() -> None:
    (event,) = structured(cloud_event({**record(key="a+b%20c"), "eventSource": "ceph:s3"}))
    assert [ref.name for ref in event.refs] == ["a+b%20c", "a b c"]
    (event,) = structured(cloud_event(record(key="a+b%20c")))
    assert [ref.name for ref in event.refs] == ["a b c", "a+b%20c"]


def test_event_as_ceph_18_sent_it() -> None:
    """Its bytes, for an object that was written by the S3 API: the name is in a header field as it stands."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "com.amazonaws.ObjectCreated:Put",
        "ce-time": "2026-11-30T19:24:16.018345794Z",
        "ce-id": "3ad63349-8948-4487-9c58-25775c734515.4103.8099245078934441643.1007-default-default",
        "ce-source": "ceph:s3.default.incoming",
        "ce-subject": "run 7/\xc3\xbc+%41.root",
        "content-type": "application/json",
    }
    body = (
        b'{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","awsRegion":"default",'
        b'"eventTime":"2026-11-30T19:24:16.018345Z","eventName":"ObjectCreated:Put",'
        b'"userIdentity":{"principalId":"d50e7f6f94664afd9c12fb7a738440dd"},"requestParameters":{"sourceIPAddress":""},'
        b'"responseElements":{"x-amz-request-id":"3ad63349-8948-4487-9c58-25775c734515.4103.8099245078934441643",'
        b'"x-amz-id-2":"1007-default-default"},"s3":{"s3SchemaVersion":"1.0","configurationId":"c",'
        b'"bucket":{"name":"incoming","ownerIdentity":{"principalId":"d50e7f6f94664afd9c12fb7a738440dd"},'
        b'"arn":"arn:aws:s3:default::incoming","id":"3ad63349-8948-4487-9c58-25775c734515.4106.1"},'
        b'"object":{"key":"run 7/\xc3\xbc+%41.root","size":3,"eTag":"900150983cd24fb0d6963f7d28e17f72","versionId":"",'
        b'"sequencer":"60CD0D6B390B0308","metadata":[{"key":"x-amz-meta-colour","val":"blue"}],"tags":[]}},'
        b'"eventId":"1796066656.134417.900150983cd24fb0d6963f7d28e17f72","opaqueData":""}]}'
    )
    (event,) = events_in(headers, body)
    assert event.happening is Happening.WRITTEN
    assert event.refs[0] == ObjectRef("incoming", "run 7/ü+%41.root")
    assert event.etag == "900150983cd24fb0d6963f7d28e17f72"
    assert event.identity is not None


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
        record(eTag="f" * 32),
        record(key="other"),
    ]
    identities = [structured(cloud_event(each))[0].identity for each in made]
    assert len(set(identities)) == len(made)
    assert events_in(rgw_headers(), record())[0].identity == identities[0]


@pytest.mark.parametrize("etag", [None, "e" * 32])
def test_event_that_cannot_be_told_from_a_later_one_has_no_identity(etag: str | None) -> None:
    """The same content may be uploaded again, and then has no digests."""
    (event,) = structured(cloud_event(record(sequencer=None, eTag=etag)))
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
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_record_of_a_bucket_without_a_name_is_none() -> None:
    one = record()
    one["s3"]["bucket"]["name"] = ["bucket"]
    with pytest.raises(GatewayError) as caught:
        structured(cloud_event({"Records": [one]}))
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
