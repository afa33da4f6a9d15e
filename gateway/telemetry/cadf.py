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
class Deed:
    """What somebody did, or tried to.

    Attributes:
        action: of CADF's taxonomy: `create`, `read/checksum`, ...
        status: HTTP's, of the answer.
        initiator: who; `id`, `typeURI` and more.
        target: to what; the same.
        observer: id of the one who saw it: one of our services.
        request_id: of the request.
        tags: more words, `name=value`.
        attachments: what else there is to say.
    """

    action: str
    status: int
    initiator: Mapping[str, Any]
    target: Mapping[str, Any]
    observer: str
    request_id: str
    tags: Sequence[str] = ()
    attachments: Sequence[Mapping[str, Any]] = ()


def record(deed: Deed) -> None:
    """Writes the record of what has just happened."""
    audit_log.info("%s", json.dumps(event_of(deed, now=dt.datetime.now(dt.UTC))))


def event_of(deed: Deed, *, now: dt.datetime) -> dict[str, object]:
    """The CADF event."""
    return {
        "typeURI": TYPE_URI,
        "eventType": "activity",
        "id": str(uuid.uuid4()),
        "eventTime": now.isoformat(timespec="milliseconds"),
        "action": deed.action,
        "outcome": "success" if deed.status < _FIRST_ERROR else "failure",
        "reason": {"reasonType": "HTTP", "reasonCode": str(deed.status)},
        "initiator": dict(deed.initiator),
        "target": dict(deed.target),
        "observer": {"id": deed.observer, "typeURI": "service/function"},
        "tags": [f"request_id={deed.request_id}", *deed.tags],
        **({"attachments": list(deed.attachments)} if deed.attachments else {}),
    }
