"""Audit records of administrators' calls, rejected ones included."""

from collections.abc import Mapping

from control.administrator import Administrator
from gateway.telemetry.cadf import AuditEvent

_OBSERVER = "osfaas-admin-api"
_CREATED = 201
_ACTIONS = {"PATCH": "update", "DELETE": "delete"}


def audit_event(
    administrator: Administrator | None,
    method: str,
    project: str | None,
    status: int,
    *,
    request_id: str,
    parameters: Mapping[str, str],
) -> AuditEvent:
    """The audit event of a call.

    Args:
        administrator: the actor; None if authentication failed.
        method: HTTP method.
        project: id in the path; None: all projects.
        status: HTTP status of the response.
        request_id: id of the request.
        parameters: of the query; those that change the meaning become tags.
    """
    if method == "PUT":
        action = "create" if status == _CREATED else "update"
    else:
        action = _ACTIONS.get(method, "read" if project else "read/list")
    if administrator is None:
        initiator = {"id": "unknown", "typeURI": "service/security/account/user"}
    else:
        initiator = {
            "id": administrator.user_id,
            "typeURI": "service/security/account/user",
            "name": administrator.user_name,
            "scope": administrator.scope,
        }
    return AuditEvent(
        action=action,
        status=status,
        initiator=initiator,
        target={"id": project or "all", "typeURI": "data/security/project"},
        observer=_OBSERVER,
        request_id=request_id,
        tags=[f"{name}=true" for name in ("confirm", "dry_run") if parameters.get(name, "").lower() == "true"],
    )
