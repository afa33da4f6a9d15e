"""The OpenAPI document of the routes of sweeps."""

from collections.abc import Mapping
from typing import Any

from gateway.digests import BY_WIRE_NAME
from gateway.objects.model import MAX_OBJECT_BYTES

_TEXT = {"type": "string"}
_COUNT = {"type": ["integer", "null"], "minimum": 0}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_OBJECT_BYTES}
_RATE = {"type": ["integer", "null"], "minimum": 1}
_ID = {"type": "string", "format": "uuid"}

SWEEP_SCHEMA: Mapping[str, Any] = {
    "allOf": [
        {"$ref": "#/components/schemas/Operation"},
        {
            "type": "object",
            "required": ["total", "estimated_end"],
            "properties": {
                "total": {"type": "object", "properties": {"bytes": _COUNT, "objects": _COUNT}},
                "estimated_end": {"type": ["string", "null"], "format": "date-time"},
            },
        },
    ]
}

_ORDER: Mapping[str, Any] = {
    "type": "object",
    "required": ["container"],
    "additionalProperties": False,
    "properties": {
        "container": _NAME,
        "prefix": _TEXT,
        "algorithms": {"type": "array", "items": {"enum": sorted(BY_WIRE_NAME)}},
        "against": {
            "type": ["object", "null"],
            "required": ["container", "object"],
            "additionalProperties": False,
            "properties": {"container": _NAME, "object": _NAME, "path_prefix": _TEXT},
        },
        "store": {"type": "boolean"},
        "force": {"type": "boolean"},
        "formats": {"type": "array", "maxItems": 3, "items": {"enum": ["ndjson", "md5sum", "csv"]}},
        "output": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"container": _NAME, "prefix": _TEXT},
        },
        "limits": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"bytes_per_second": _RATE, "requests_per_second": _RATE},
        },
    },
}


def sweep_paths(errors: Mapping[str, Any]) -> dict[str, Any]:
    """The paths. `errors`: the responses with errors, by status."""
    one = _answer("The sweep.", {"$ref": "#/components/schemas/Sweep"})
    listed = {
        "type": "object",
        "required": ["sweeps"],
        "properties": {"sweeps": {"type": "array", "items": {"$ref": "#/components/schemas/Sweep"}}},
    }
    filters = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1_000}, "Maximum number of sweeps."),
        _parameter("marker", "query", _ID, "The list begins after this sweep."),
        _parameter("subject", "query", _TEXT, "The container, and the prefix after a slash."),
    ]
    key = _parameter("Idempotency-Key", "header", _TEXT, "The same request begins one sweep.")
    named = {**_parameter("operation", "path", _ID, "Its id."), "required": True}
    return {
        "/v1/sweeps": {
            "get": {
                "operationId": "list_sweeps",
                "parameters": filters,
                "responses": {**errors, "200": _answer("A page.", listed)},
            },
            "post": {
                "operationId": "create_sweep",
                "parameters": [key],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _ORDER}}},
                "responses": {**errors, "202": one},
            },
        },
        "/v1/sweeps/{operation}": {
            "get": {"operationId": "show_sweep", "parameters": [named], "responses": {**errors, "200": one}}
        },
    }


def _parameter(name: str, where: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": False, "schema": schema, "description": description}


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
