"""The audit record of a service caller's call: who asked for the digests of what, and what came of it.

A service reads in many projects for people whom the gateway does not know, so each of its calls leaves a record of
its own, in the form of DMTF's CADF (DSP0262), which OpenStack's tools read. The logger is `gateway.audit`.
"""

import datetime as dt
import json
import logging
import uuid

from gateway.edge.context import RequestContext
from gateway.identity.caller import Caller
from gateway.objects.model import ObjectRef

TYPE_URI = "http://schemas.dmtf.org/cloud/audit/1.0/event"
_FIRST_ERROR = 400

audit_log = logging.getLogger("gateway.audit")


def record_service_call(context: RequestContext, ref: ObjectRef | None, status: int) -> None:
    """Writes the record of a call, if it is a service's."""
    if context.service_caller is not None:
        now = dt.datetime.now(dt.UTC)
        event = service_event(context.service_caller, context, ref, status=status, now=now)
        audit_log.info("%s", json.dumps(event))


def service_event(
    caller: Caller, context: RequestContext, ref: ObjectRef | None, *, status: int, now: dt.datetime
) -> dict[str, object]:
    """The CADF event.

    Args:
        caller: the service.
        context: of its request.
        ref: the object that it named; None if the request did not come so far.
        status: the answer's.
        now: when the answer was given.
    """
    name = None if ref is None else f"{ref.container}/{ref.name}"
    initiator: dict[str, object] = {
        "id": caller.user_id,
        "typeURI": "service/security/account/user",
        "name": caller.user_name,
        "project_id": caller.project_id,
    }
    if caller.application_credential_id is not None:
        initiator["application_credential_id"] = caller.application_credential_id
    return {
        "typeURI": TYPE_URI,
        "eventType": "activity",
        "id": str(uuid.uuid4()),
        "eventTime": now.isoformat(timespec="milliseconds"),
        "action": "read/checksum",
        "outcome": "success" if status < _FIRST_ERROR else "failure",
        "reason": {"reasonType": "HTTP", "reasonCode": str(status)},
        "initiator": initiator,
        "target": {
            "id": f"{caller.project_id}/{name}" if name else caller.project_id,
            "typeURI": "storage/object" if name else "storage",
            **({"name": name} if name else {}),
        },
        "observer": {"id": "osfaas-gateway", "typeURI": "service/function"},
        "tags": [f"request_id={context.request_id}"],
        **({"attachments": _sources(context)} if "sources" in context.facts else {}),
    }


def _sources(context: RequestContext) -> list[dict[str, object]]:
    return [{"typeURI": "application/json", "name": "sources", "content": context.facts["sources"]}]
