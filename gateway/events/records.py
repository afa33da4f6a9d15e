"""What happened to which object, out of the records that AWS, Ceph RGW and MinIO send.

The event's own claims (ETag, size) decide nothing: the store is asked about the object as it is now. They only
tell one event from another.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from gateway.errors import GatewayError, Kind
from gateway.events.envelope import Envelope
from gateway.objects.model import ObjectRef

# `s3:` is S3's and MinIO's; RGW has had three ways of writing `com.amazonaws.`.
_CREATED = re.compile(r"(?:s3:|com\.amazonaws\.(?:s3[.:])?)?ObjectCreated:([A-Za-z]+)")
_TEST = "s3:TestEvent"
_RGW = "ceph:s3"


class Happening(Enum):
    """What an event says of its object, as far as it concerns us."""

    WRITTEN = "written"
    COPIED = "copied"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One record.

    Attributes:
        refs: the object; a second reading where the key may not have been URL-encoded after all.
        identity: what two deliveries of one event share; None if nothing does.
    """

    happening: Happening
    refs: tuple[ObjectRef, ...]
    identity: tuple[str, ...] | None


def object_events(envelope: Envelope) -> list[ObjectEvent]:
    """The records in an event.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    data = envelope.data
    if isinstance(data, dict):
        if isinstance(data.get("Records"), list):
            return [_event(record, envelope.type) for record in data["Records"]]
        if "s3" in data:
            return [_event(data, envelope.type)]
        if data.get("Event") == _TEST:
            return []
    raise _malformed("its data has no S3 records")


def _event(record: Any, event_type: str) -> ObjectEvent:
    try:
        bucket, entry = _string(record["s3"]["bucket"]["name"]), record["s3"]["object"]
        key, version = _string(entry["key"]), _string(entry.get("versionId") or "")
        etag = (entry.get("eTag") or entry.get("etag") or "").strip('"')
        sequencer = str(entry.get("sequencer") or "")
        name = record.get("eventName") or event_type
        happening = _happening(name, etag)
        names = _readings(key, encoded=record.get("eventSource") != _RGW)
        refs = tuple(ObjectRef(bucket, each) for each in names) if happening is not Happening.OTHER else ()
        marks = (sequencer, etag)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _malformed("a record is not S3's") from error
    # Without a sequencer the ETag has to do: the same content again needs no second look.
    identity = (bucket, key, version, *marks) if any(marks) else None
    return ObjectEvent(happening, refs, identity)


def _readings(key: str, *, encoded: bool) -> dict[str, None]:
    """What a key may mean, the likelier first: S3 and MinIO encode it as a form does, RGW does not."""
    try:
        decoded = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return {key: None}
    return dict.fromkeys([decoded, key] if encoded else [key, decoded])


def _string(value: Any) -> str:
    """What tells events apart has to be a word: anything else cannot be remembered."""
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value


def _happening(name: str, etag: str) -> Happening:
    match = _CREATED.fullmatch(name)
    if match is None:
        return Happening.OTHER
    if match[1] == "Post" and not etag:
        # RGW says this when a multipart upload begins; there is no object before CompleteMultipartUpload.
        return Happening.OTHER
    return Happening.COPIED if match[1] == "Copy" else Happening.WRITTEN


def _malformed(why: str) -> GatewayError:
    return GatewayError(Kind.REQUEST_MALFORMED, why=why)
