"""The OpenAPI document of the routes of operations."""

from collections.abc import Mapping
from typing import Any

from operations.store.model import State

_ID = {"type": "string", "format": "uuid"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_ERROR = {"type": ["object", "null"], "required": ["code", "message"]}
_TIMES = ("created_at", "next_attempt_at", "expires_at", "started_at", "finished_at", "kept_until")

OPERATION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["id", "kind", "subject", "state", "attempts", "progress", "error", "links", *_TIMES],
    "properties": {
        "id": _ID,
        "kind": {"enum": ["invoke", "checksums", "sweep"]},
        "subject": _TEXT,
        "state": {"enum": [state.value for state in State]},
        "cancel_requested": {"type": "boolean"},
        "project_id": _TEXT,
        "user_id": _TEXT,
        "request_id": _TEXT,
        "attempts": _COUNT,
        "progress": {"type": "object", "properties": {"bytes": _COUNT, "objects": _COUNT}},
        **dict.fromkeys(_TIMES, _TIME),
        "error": _ERROR,
        "links": {"type": "array", "items": {"type": "object", "required": ["rel", "href"]}},
    },
}


def operation_paths(errors: Mapping[str, Any]) -> dict[str, Any]:
    """The paths. `errors`: the responses with errors, by status."""
    one = _answer("The operation.", {"$ref": "#/components/schemas/Operation"})
    listed = {
        "type": "object",
        "required": ["operations"],
        "properties": {"operations": {"type": "array", "items": {"$ref": "#/components/schemas/Operation"}}},
    }
    key = {"type": "object", "required": ["secret"], "properties": {"secret": _TEXT}}
    named = [{"name": "operation", "in": "path", "required": True, "schema": _ID, "description": "Its id."}]
    filters = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
        for name, schema, description in (
            ("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}, "Maximum number of operations."),
            ("marker", _ID, "The list begins after this operation."),
            ("state", _TEXT, "States, separated by commas."),
            ("kind", _TEXT, "`invoke`, `checksums` or `sweep`."),
            ("subject", _TEXT, "The function, or the path of the object."),
            ("user_id", _TEXT, "Only those of this user."),
        )
    ]
    # The answer of the call that the operation was may have any status.
    answer = {"description": "The answer of the call, or an error of ours.", "content": {"*/*": {}}}
    return {
        "/v1/operations": {
            "get": _operation("list_operations", errors, filters, **{"200": _answer("A page.", listed)})
        },
        "/v1/operations/{operation}": {
            "get": _operation("show_operation", errors, named, **{"200": one}),
            "delete": _operation("cancel_operation", errors, named, **{"200": one, "202": one}),
        },
        "/v1/operations/{operation}/result": {
            "get": {
                "operationId": "get_operation_result",
                "parameters": named,
                "responses": {**errors, "default": answer},
            }
        },
        "/v1/operations/{operation}/retry": {"post": _operation("retry_operation", errors, named, **{"202": one})},
        "/v1/callback-key": {
            "get": _operation("show_callback_key", errors, [], **{"200": _answer("The key of the project.", key)})
        },
    }


def _operation(
    name: str, errors: Mapping[str, Any], parameters: list[dict[str, Any]], **responses: dict[str, Any]
) -> dict[str, Any]:
    return {"operationId": name, "parameters": parameters, "responses": {**errors, **responses}}


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
