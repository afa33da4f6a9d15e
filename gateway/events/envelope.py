"""CloudEvents out of a request: binary, structured or a batch; and the bare JSON that webhooks send without one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat

from gateway.edge.body import json_of
from gateway.errors import GatewayError, Kind

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_BARE = frozenset(["application/json", ""])


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event.

    Attributes:
        type: its CloudEvents type; empty without CloudEvents.
        data: the JSON in it.
    """

    type: str
    data: Any


def envelopes_of(headers: Mapping[str, str], body: bytes, *, most: int) -> list[Envelope]:
    """The events of a request.

    Args:
        headers: names in lower case.
        body: as it was sent.
        most: how many events a batch may have.

    Raises:
        GatewayError: REQUEST_MALFORMED.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == BATCH:
            batch = json_of(body)
            if not isinstance(batch, list) or len(batch) > most:
                raise _malformed(f"a batch is a list of at most {most} events")
            return [_opened(_read(json.dumps(each).encode())) for each in batch]
        if media_type == STRUCTURED:
            return [_opened(_read(body))]
        if "ce-specversion" in headers:
            return [_opened(from_binary_event(HTTPMessage(dict(headers), body)))]
    except (BaseCloudEventException, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _malformed("it is not a CloudEvent") from error
    if media_type in _BARE:
        return [Envelope("", json_of(body))]
    raise _malformed("its content is neither a CloudEvent nor JSON")


def _read(document: bytes) -> BaseCloudEvent:
    return JSONFormat().read(None, document)


def _opened(event: BaseCloudEvent) -> Envelope:
    data: Any = event.get_data()
    if isinstance(data, str | bytes):
        # Sources that pass on messages of a queue do not always know that they are JSON.
        data = json.loads(data)
    return Envelope(event.get_type(), data)


def _malformed(why: str) -> GatewayError:
    return GatewayError(Kind.REQUEST_MALFORMED, why=why)
