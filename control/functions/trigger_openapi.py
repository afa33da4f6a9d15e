"""The part of the OpenAPI document that is about triggers."""

from typing import Any

from control.functions.trigger_fields import MAX_PREFIX_BYTES
from tenancy.model.schedule import MAX_CRON, MAX_ZONE
from tenancy.model.trigger import MAX_TRIGGER_NAME

_TEXT: dict[str, Any] = {"type": "string"}
_OPTIONAL_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_COLLECTION = "/v1/functions/{name}/triggers"


def trigger_paths(name: dict[str, Any], errors: dict[str, Any]) -> dict[str, Any]:
    """The paths.

    Args:
        name: the parameter with the name of the function.
        errors: responses of all operations.
    """
    label = {"type": "string", "maxLength": MAX_TRIGGER_NAME, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}
    trigger = {
        "name": "trigger",
        "in": "path",
        "required": True,
        "description": "Name of the trigger.",
        "schema": label,
    }
    shown = _object({"trigger": _ref("Trigger"), "changed": {"type": "boolean"}, "remains": _TEXT}, "trigger")
    answer = {"content": _json(shown), "headers": {"ETag": {"schema": _TEXT}}}
    listed = _object({"triggers": {"type": "array", "items": _ref("Trigger")}}, "triggers")
    remains = {
        "description": "Deleted; Keystone may still have its trust.",
        "content": _json(_object({"remains": _TEXT})),
    }
    body = {"type": "object", "required": ["trigger"], "additionalProperties": False}
    body["properties"] = {"trigger": _ref("TriggerSpecification")}
    return {
        _COLLECTION: {
            "parameters": [name],
            "get": {
                "operationId": "list_triggers",
                "responses": {"200": {"description": "The result.", "content": _json(listed)}, **errors},
            },
        },
        f"{_COLLECTION}/{{trigger}}": {
            "parameters": [name, trigger],
            "get": {
                "operationId": "show_trigger",
                "responses": {"200": {"description": "The result.", **answer}, **errors},
            },
            "put": {
                "operationId": "put_trigger",
                "description": "Creates or replaces the trigger, which acts for the caller from then on.",
                "parameters": [_field("If-Match"), _field("If-None-Match")],
                "requestBody": {"required": True, "content": _json(body)},
                "responses": {
                    "200": {"description": "Replaced, or nothing to change.", **answer},
                    "201": {"description": "Created.", **answer},
                    **errors,
                },
            },
            "delete": {
                "operationId": "delete_trigger",
                "parameters": [_field("If-Match")],
                "responses": {"200": remains, "204": {"description": "Deleted, with its trust."}, **errors},
            },
        },
    }


def trigger_schemas() -> dict[str, Any]:
    """The schemas, by name."""
    created = _object(
        {
            "container": {**_TEXT, "minLength": 1, "maxLength": 256},
            "prefix": {**_TEXT, "maxLength": MAX_PREFIX_BYTES},
            "output": {**_OPTIONAL_TEXT, "description": "container/name, with {object}, {rest}, {basename}, {stem}."},
            "overwrite": {"type": "boolean"},
        },
        "container",
    )
    schedule = _object(
        {"cron": {**_TEXT, "maxLength": MAX_CRON}, "time_zone": {**_TEXT, "maxLength": MAX_ZONE}}, "cron"
    )
    sources = {"object_created": created, "schedule": schedule}
    condition = {
        "type": "object",
        "properties": {**dict.fromkeys(("type", "reason", "message"), _TEXT), "status": {"type": "boolean"}},
    }
    firing = {"type": ["object", "null"], "properties": dict.fromkeys(("outcome", "message", "id", "at"), _TEXT)}
    status = {
        "current": {"type": "boolean"},
        "last_firing": firing,
        "conditions": {"type": "array", "items": condition},
    }
    fields = {
        **dict.fromkeys(("name", "function", "user_id", "created_at"), _TEXT),
        "next_at": _OPTIONAL_TEXT,
        "status": {"type": "object", "required": [*status], "properties": status},
    }
    return {
        "TriggerSpecification": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {"name": _TEXT, **sources},
        },
        "Trigger": {"type": "object", "required": [*fields], "properties": {**fields, **sources}},
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": properties}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _field(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": "A precondition (RFC 9110).", "schema": _TEXT}
