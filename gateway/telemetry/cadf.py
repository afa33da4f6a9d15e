"""Audit records in the form of DMTF's CADF (DSP0262), which OpenStack's tools read. The logger is `gateway.audit`."""

import datetime as dt
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TYPE_URI = "http://schemas.dmtf.org/cloud/audit/1.0/event"
_FIRST_ERROR = 400

audit_log = logging.getLogger("gateway.audit")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An action, or an attempted one, for the audit log.

    Attributes:
        action: from CADF's taxonomy: `create`, `read/checksum`, ...
        status: HTTP's, of the answer.
        initiator: the actor; `id`, `typeURI` and more.
        target: the resource; the same keys.
        observer: id of the service that reports it.
        request_id: of the request.
        tags: further tags, `name=value`.
        attachments: further content.
    """

    action: str
    status: int
    initiator: Mapping[str, Any]
    target: Mapping[str, Any]
    observer: str
    request_id: str
    tags: Sequence[str] = ()
    attachments: Sequence[Mapping[str, Any]] = ()


def record(event: AuditEvent) -> None:
    """Writes an audit record."""
    audit_log.info("%s", json.dumps(cadf_event(event, now=dt.datetime.now(dt.UTC))))


def cadf_event(event: AuditEvent, *, now: dt.datetime) -> dict[str, object]:
    """The event in CADF's JSON form."""
    return {
        "typeURI": TYPE_URI,
        "eventType": "activity",
        "id": str(uuid.uuid4()),
        "eventTime": now.isoformat(timespec="milliseconds"),
        "action": event.action,
        "outcome": "success" if event.status < _FIRST_ERROR else "failure",
        "reason": {"reasonType": "HTTP", "reasonCode": str(event.status)},
        "initiator": dict(event.initiator),
        "target": dict(event.target),
        "observer": {"id": event.observer, "typeURI": "service/function"},
        "tags": [f"request_id={event.request_id}", *event.tags],
        **({"attachments": list(event.attachments)} if event.attachments else {}),
    }
