"""Parses the envelope of events: CloudEvents (binary, structured, batch), and the bare JSON of webhooks.

Only used attributes of events and records are parsed; all others are ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from gateway.errors import ErrorCode, GatewayError
from gateway.typed_json import decode

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_BARE = frozenset(["application/json", ""])
_TEST = "s3:TestEvent"

# S3's version ids, sequencers and ETags are shorter than that.
Mark = Annotated[str, Meta(max_length=1_024)]
# At most 1,024 bytes, each of which may be escaped.
Key = Annotated[str, Meta(max_length=3 * 1_024)]
Attribute = Annotated[str, Meta(min_length=1)]


class Bucket(Struct, frozen=True, gc=False):
    """The bucket of a record."""

    name: Mark


class Entry(Struct, frozen=True, gc=False):
    """The object of a record; MinIO and RGW write `eTag`, some queues make it `etag`."""

    key: Key
    version: Mark | None = msgspec.field(name="versionId", default=None)
    e_tag: Mark | None = msgspec.field(name="eTag", default=None)
    etag: Mark | None = None
    sequencer: Mark | int | None = None


class S3(Struct, frozen=True, gc=False):
    """The part of a record that is the same in all stores."""

    bucket: Bucket
    object: Entry


class Record(Struct, frozen=True, gc=False):
    """A record of an S3 event notification."""

    s3: S3
    name: Mark | None = msgspec.field(name="eventName", default=None)
    source: Mark | None = msgspec.field(name="eventSource", default=None)


class _Data(Struct, frozen=True, gc=False):
    """The data of an event: records, one record by itself, or the message that tests a new subscription."""

    records: list[Record] | None = msgspec.field(name="Records", default=None)
    s3: S3 | None = None
    name: Mark | None = msgspec.field(name="eventName", default=None)
    source: Mark | None = msgspec.field(name="eventSource", default=None)
    event: Mark | None = msgspec.field(name="Event", default=None)


class _CloudEvent(Struct, frozen=True, gc=False):
    """A CloudEvent, with its required attributes."""

    specversion: Literal["1.0", "0.3"]
    type: Attribute
    id: Attribute
    source: Attribute
    # Sources that forward messages of a queue may send JSON as a string.
    data: _Data | str | None = None
    data_base64: bytes | None = None


_DATA: msgspec.json.Decoder[_Data | str] = msgspec.json.Decoder(_Data | str)
_EVENT, _EVENTS = msgspec.json.Decoder(_CloudEvent), msgspec.json.Decoder(list[_CloudEvent])


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event.

    Attributes:
        type: its CloudEvents type; empty without CloudEvents.
        records: in it.
    """

    type: str
    records: list[Record]


def envelopes_of(headers: Mapping[str, str], body: bytes, *, most: int) -> Iterator[Envelope]:
    """The events of a request.

    Args:
        headers: names in lower case.
        body: as it was sent.
        most: maximum number of events in a batch.

    Raises:
        GatewayError: REQUEST_MALFORMED, REQUEST_MEDIA_TYPE.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == BATCH:
        batch = decode(_EVENTS, body)
        if len(batch) > most:
            raise _malformed(f"a batch has at most {most} events")
        yield from map(_opened, batch)
    elif media_type == STRUCTURED:
        yield _opened(decode(_EVENT, body))
    elif "ce-specversion" in headers:
        yield Envelope(_type_of(headers), _records(_data_in(body)))
    elif media_type in _BARE:
        yield Envelope("", _records(decode(_DATA, body)))
    else:
        raise GatewayError(
            ErrorCode.REQUEST_MEDIA_TYPE,
            wanted=f"{STRUCTURED}, {BATCH} or application/json",
            media_type=repr(media_type[:64]),
        )


def _type_of(headers: Mapping[str, str]) -> str:
    """The type of an event whose attributes are header fields, which may be percent-encoded."""
    attributes = {name: unquote(headers.get(f"ce-{name}", "")) for name in ("specversion", "type", "id", "source")}
    try:
        return msgspec.convert(attributes, _CloudEvent).type
    except ValueError as error:
        raise _malformed("the 'ce-' header fields are not those of a CloudEvent") from error


def _opened(event: _CloudEvent) -> Envelope:
    data = event.data if event.data_base64 is None else _data_in(event.data_base64)
    return Envelope(event.type, _records(_data_in(data) if isinstance(data, str) else data))


def _data_in(body: bytes | str) -> _Data:
    data = decode(_DATA, body)
    if isinstance(data, str):
        data = decode(_DATA, data)
    if isinstance(data, _Data):
        return data
    raise _malformed("its data has no S3 records")


def _records(data: _Data | str | None) -> list[Record]:
    if isinstance(data, _Data):
        if data.records is not None:
            return data.records
        if data.s3 is not None:
            return [Record(data.s3, data.name, data.source)]
        if data.event == _TEST:
            return []
    raise _malformed("its data has no S3 records")


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
