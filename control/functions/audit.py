"""Audit records of changes of functions, rejected ones included."""

from gateway.identity.caller import Caller
from gateway.telemetry.cadf import AuditEvent

_OBSERVER = "osfaas-functions-api"
_TYPES = {"function": "service/compute/function", "secret": "service/security/secret"}


def audit_event(
    caller: Caller | None, action: str, name: str, status: int, *, request_id: str, target: str = "function"
) -> AuditEvent:
    """The audit event of a change. That of a secret never has its value.

    Args:
        caller: the actor; None if authentication failed.
        action: `create`, `update` or `delete`.
        name: of the function or secret.
        status: HTTP status of the response.
        request_id: id of the request.
        target: `function` or `secret`.
    """
    if caller is None:
        initiator: dict[str, str] = {"id": "unknown", "typeURI": "service/security/account/user"}
    else:
        initiator = {
            "id": caller.user_id,
            "typeURI": "service/security/account/user",
            "name": caller.user_name,
            "project_id": caller.project_id,
        }
    project = {} if caller is None else {"project_id": caller.project_id}
    return AuditEvent(
        action=action,
        status=status,
        initiator=initiator,
        target={"id": name, "typeURI": _TYPES[target], **project},
        observer=_OBSERVER,
        request_id=request_id,
    )
