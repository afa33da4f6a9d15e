"""Parses object events from the records of AWS, Ceph RGW and MinIO.

The ETag and size of an event only distinguish events: the state of the object comes from the store.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_plus

from gateway.errors import ErrorCode, GatewayError
from gateway.events.envelope import Envelope, Record, envelopes_of
from gateway.objects.model import ObjectRef
from gateway.slices import in_slices

# `s3:` is S3's and MinIO's; RGW has used three forms of `com.amazonaws.`.
_CREATED = re.compile(r"(?:s3:|com\.amazonaws\.(?:s3[.:])?)?ObjectCreated:([A-Za-z]+)")
_RGW = "ceph:s3"


class Happening(Enum):
    """The kinds of events."""

    WRITTEN = "written"
    COPIED = "copied"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One record.

    Attributes:
        refs: the object; a second candidate if the key may not be URL-encoded.
        identity: a digest that is the same for all deliveries of one event; None if deliveries cannot be recognised.
        etag: of the content of the event; empty if unknown.
    """

    happening: Happening
    refs: tuple[ObjectRef, ...]
    identity: bytes | None
    etag: str = ""


async def read_events(headers: Mapping[str, str], body: bytes, *, most: int) -> list[ObjectEvent]:
    """All records of a request.

    Args:
        headers: names in lower case.
        body: as it was sent.
        most: maximum number of records.

    Raises:
        GatewayError: REQUEST_MALFORMED, REQUEST_MEDIA_TYPE.
    """
    envelopes, count = [], 0
    async for envelope in in_slices(envelopes_of(headers, body, most=most)):
        envelopes.append(envelope)
        count += len(envelope.records)
        if count > most:
            raise _malformed(f"it has more than {most} records")
    events = (event for envelope in envelopes for event in object_events(envelope))
    return [event async for event in in_slices(events)]


def object_events(envelope: Envelope) -> Iterator[ObjectEvent]:
    """The records in an event.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    for record in envelope.records:
        yield _event(record, envelope.type)


def _event(record: Record, event_type: str) -> ObjectEvent:
    bucket, entry = record.s3.bucket.name, record.s3.object
    etag = (entry.e_tag or entry.etag or "").strip('"')
    happening = _happening(record.name or event_type, etag)
    if happening is Happening.OTHER:
        return ObjectEvent(happening, (), None)
    refs = _refs(bucket, entry.key, encoded=record.source != _RGW)
    sequencer = str(entry.sequencer or "")
    if not sequencer:
        # The same content may be written again, and then has no digests.
        return ObjectEvent(happening, refs, None, etag)
    marks = json.dumps([bucket, entry.key, entry.version or "", sequencer, etag])
    return ObjectEvent(happening, refs, hashlib.sha256(marks.encode()).digest(), etag)


def _refs(bucket: str, key: str, *, encoded: bool) -> tuple[ObjectRef, ...]:
    """Candidates for a key, the likelier first: S3 and MinIO URL-encode it like a form, RGW does not.

    Raises:
        GatewayError: REQUEST_MALFORMED, if there is no valid candidate.
    """
    try:
        decoded = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        decoded = key
    refs, refused = [], None
    for name in dict.fromkeys([decoded, key] if encoded else [key, decoded]):
        try:
            refs.append(ObjectRef(bucket, name))
        except GatewayError as error:
            # Escapes may make a long name too long.
            refused = error
    if refused is not None and not refs:
        raise refused
    return tuple(refs)


def _happening(name: str, etag: str) -> Happening:
    match = _CREATED.fullmatch(name)
    if match is None:
        return Happening.OTHER
    if match[1] == "Post" and not etag:
        # RGW sends this when a multipart upload begins; there is no object before CompleteMultipartUpload.
        return Happening.OTHER
    return Happening.COPIED if match[1] == "Copy" else Happening.WRITTEN


def _malformed(why: str) -> GatewayError:
    return GatewayError(ErrorCode.REQUEST_MALFORMED, why=why)
