"""An operation as JSON."""

from datetime import UTC, datetime

from operations.store.model import Operation


def operation_document(operation: Operation) -> dict[str, object]:
    """The document of an operation (`Operation` in the OpenAPI document)."""
    path = f"/v1/operations/{operation.id}"
    failure = operation.error_code and {"code": operation.error_code, "message": operation.error_message}
    return {
        "id": operation.id,
        "kind": operation.kind,
        "subject": operation.subject,
        "state": operation.state.value,
        "cancel_requested": operation.cancel_requested,
        "project_id": operation.project_id,
        "user_id": operation.user_id,
        "request_id": operation.request_id,
        "attempts": operation.attempts,
        "progress": {"bytes": operation.bytes_done, "objects": operation.objects_done},
        "created_at": time_text(operation.created_at),
        "next_attempt_at": time_text(None if operation.finished else operation.due_at),
        "expires_at": time_text(operation.expires_at),
        "started_at": time_text(operation.started_at),
        "finished_at": time_text(operation.finished_at),
        "kept_until": time_text(operation.keep_until),
        "error": failure or None,
        "links": [{"rel": "self", "href": path}, {"rel": "result", "href": f"{path}/result"}],
    }


def time_text(milliseconds: int | None) -> str | None:
    """A time as in OpenStack's APIs, in UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
