"""Audit records of service callers: actor, object and result of each call.

A service reads in many projects for users that the gateway does not know, so each of its calls is audited.
"""

import datetime as dt

from gateway.http.context import RequestContext, ServiceCaller
from gateway.objects.model import ObjectRef
from gateway.telemetry.cadf import AuditEvent, cadf_event, record

_OBSERVER = "osfaas-gateway"


def record_service_call(context: RequestContext, ref: ObjectRef | None, status: int) -> None:
    """Writes an audit record, if the caller is a service."""
    if context.service_caller is not None:
        record(_audit_event(context.service_caller, context, ref, status))


def service_event(
    caller: ServiceCaller, context: RequestContext, ref: ObjectRef | None, *, status: int, now: dt.datetime
) -> dict[str, object]:
    """The CADF event.

    Args:
        caller: the service.
        context: of its request.
        ref: the requested object; None if the request failed before it was parsed.
        status: of the answer.
        now: time of the answer.
    """
    return cadf_event(_audit_event(caller, context, ref, status), now=now)


def _audit_event(caller: ServiceCaller, context: RequestContext, ref: ObjectRef | None, status: int) -> AuditEvent:
    name = None if ref is None else f"{ref.container}/{ref.name}"
    initiator: dict[str, object] = {
        "id": caller.user_id,
        "typeURI": "service/security/account/user",
        "name": caller.user_name,
        "project_id": caller.project_id,
    }
    if caller.application_credential_id is not None:
        initiator["application_credential_id"] = caller.application_credential_id
    sources = context.log.sources
    return AuditEvent(
        action="read/checksum",
        status=status,
        initiator=initiator,
        target={
            "id": f"{caller.project_id}/{name}" if name else caller.project_id,
            "typeURI": "storage/object" if name else "storage",
            **({"name": name} if name else {}),
        },
        observer=_OBSERVER,
        request_id=context.request_id,
        attachments=[{"typeURI": "application/json", "name": "sources", "content": sources}] if sources else (),
    )
