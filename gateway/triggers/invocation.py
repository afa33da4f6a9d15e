"""One invocation by a trigger: its request, as a caller with the trust's token would send it. Pure, but for `Reply`.

The function gets a CloudEvent in the binary mode of its HTTP binding. `Ce-Id` is the same for every delivery of the
same event, so a function that must not do a thing twice can tell.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.types import Message

from gateway.http.head import RequestHead
from gateway.objects.model import ObjectRef
from tenancy.model.trigger import ObjectCreated, TriggerRecord

OBJECT_CREATED = "dev.osfaas.object.created"
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class TriggerRequest:
    """The head and the body of an invocation."""

    head: RequestHead
    body: bytes


def event_fields(record: TriggerRecord, event_type: str, event_id: str) -> dict[str, str]:
    """The attributes of the CloudEvent, as header fields."""
    source = f"/v1/functions/{record.spec.function}/triggers/{record.spec.name}"
    return {"ce-specversion": "1.0", "ce-type": event_type, "ce-source": source, "ce-id": event_id}


def object_request(
    record: TriggerRecord, source: ObjectCreated, ref: ObjectRef, *, token: str, event_id: str
) -> TriggerRequest:
    """The invocation with an object as the input.

    Args:
        record: the trigger.
        source: of it.
        ref: the object.
        token: of the trust.
        event_id: see the module.
    """
    query = f"input=object:{_quoted(ref.container)}/{_quoted(ref.name)}"
    output = source.output_for(ref.name)
    if output is not None:
        query += f"&output=result:{quote(output, safe='/')}" + ("&overwrite=true" if source.overwrite else "")
    body = json.dumps({"container": ref.container, "object": ref.name}).encode()
    fields = {
        "x-auth-token": token,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **event_fields(record, OBJECT_CREATED, event_id),
    }
    path = f"/v1/invoke/{record.spec.function}/".encode("ascii")
    return TriggerRequest(RequestHead("POST", path, query.encode("ascii"), _encoded(fields)), body)


class Reply:
    """The channel of an invocation without a connection: gives the body, and keeps status, fields and a little text."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.status = 0
        self.fields: Mapping[str, str] = {}
        self.text = b""

    async def receive(self) -> Message:
        """The body, once."""
        if self._body is None:
            # The watch for a disconnect waits here; there is none, and the end of the call cancels it.
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Takes the reply of the function, of which nothing but its beginning is kept."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        elif len(self.text) < _MAX_TEXT:
            self.text += message.get("body", b"")[:_MAX_TEXT]

    def beginning(self) -> str:
        """The beginning of the reply, for messages."""
        return "".join(each if each.isprintable() else " " for each in self.text.decode("utf-8", "replace")).strip()


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _encoded(fields: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items())
