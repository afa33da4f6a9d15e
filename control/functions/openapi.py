"""The OpenAPI document of `/v1/functions`, made from the tables that the code runs on."""

from http import HTTPStatus
from typing import Any

from control.functions.fields import FIELDS, INTEGERS, WORDS
from control.functions.openapi_texts import EXAMPLES
from control.functions.routes import DEFAULT_LIMIT, DEFAULT_TAIL, MAX_LIMIT, MAX_TAIL
from control.functions.trigger_openapi import trigger_paths, trigger_schemas
from gateway.errors import ErrorCode
from gateway.server.openapi_examples import with_examples
from policies.own_function import MAX_NAME, MAX_TAG
from policies.own_function_secrets import MAX_BYTES, MAX_MOUNTED

_TOKEN_SCHEMES = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "Keystone token, project-scoped.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
}
_TEXT: dict[str, Any] = {"type": "string"}
_OPTIONAL_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_BUILD = ("source", "image", "runtime", "reason", "message")


def openapi_document(public_url: str) -> dict[str, Any]:
    """The document (OpenAPI 3.1)."""
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "Name of the function.",
        "schema": {"type": "string", "maxLength": MAX_NAME, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "OpenStack FaaS functions", "version": "1.0", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": public_url}],
        "security": [{scheme: []} for scheme in _TOKEN_SCHEMES],
        "paths": {
            "/v1/functions": {"get": _list()},
            "/v1/functions/openapi.json": {"get": {**_operation("openapi", {"type": "object"}), "security": []}},
            "/v1/functions/{name}": {
                "parameters": [name],
                "get": _operation("show_function", _enveloped()),
                "put": _write("put_function", "Creates the function, or replaces its specification."),
                "patch": _write("patch_function", "Changes the given fields; null restores a default."),
                "delete": {
                    "operationId": "delete_function",
                    "parameters": [_precondition("If-Match")],
                    "responses": {"204": {"description": "Deleted; its pods end."}, **_errors()},
                },
            },
            "/v1/functions/{name}/source": {"parameters": [name], "put": _upload()},
            "/v1/functions/{name}/build-logs": {
                "parameters": [name],
                "get": {
                    **_operation("show_build_logs", _listed("logs", _log())),
                    "parameters": [_number("tail", DEFAULT_TAIL, MAX_TAIL, "Maximum number of lines of a build.")],
                },
            },
            **trigger_paths(name, _errors()),
            "/v1/functions/{name}/revisions": {
                "parameters": [name],
                "get": _operation("list_revisions", _listed("revisions", _revision())),
            },
            "/v1/functions/{name}/logs": {
                "parameters": [name],
                "get": {
                    **_operation("show_logs", _listed("logs", _log())),
                    "parameters": [
                        _number("tail", DEFAULT_TAIL, MAX_TAIL, "Maximum number of lines of a container."),
                        {
                            "name": "follow",
                            "in": "query",
                            "description": "true: a stream (application/x-ndjson) of lines as they are written.",
                            "schema": {"type": "boolean", "default": False},
                        },
                    ],
                },
            },
            "/v1/functions/{name}/metrics": {
                "parameters": [name],
                "get": _operation("show_metrics", _metrics()),
            },
            **_secret_paths(name),
        },
        "components": {
            "securitySchemes": _TOKEN_SCHEMES,
            "schemas": {
                **trigger_schemas(),
                "Function": _function(),
                "Specification": _specification(),
                "Error": _error(),
            },
        },
    }
    return with_examples(document, EXAMPLES)


def _metrics() -> dict[str, Any]:
    count, seconds = {"type": "integer"}, {"type": ["number", "null"]}
    revision = {
        "type": "object",
        "properties": {
            "name": _TEXT,
            **dict.fromkeys(("percent", "calls", "errors"), count),
            **dict.fromkeys(("p50_seconds", "p95_seconds"), seconds),
            "cold_starts": {"type": ["integer", "null"]},
        },
    }
    properties = {
        "since": {**_OPTIONAL_TEXT, "description": "Since when all replicas that answered have counted."},
        "replicas": count,
        "replicas_answered": count,
        "revisions": {"type": "array", "items": revision},
    }
    metrics = {"type": "object", "properties": properties}
    return {"type": "object", "required": ["metrics"], "properties": {"metrics": metrics}}


def _secret_paths(name: dict[str, Any]) -> dict[str, Any]:
    """Values are in requests only."""
    names = {"type": "array", "items": _TEXT}
    secret = {"type": "object", "properties": {"name": _TEXT, "changed_at": _TEXT, "used_by": names}}
    enveloped = {"type": "object", "required": ["secret"], "properties": {"secret": secret}}
    payload = {**_TEXT, "writeOnly": True, "description": f"From 1 to {MAX_BYTES} bytes of UTF-8, or of base64."}
    fields = {"payload": payload, "payload_content_encoding": {"enum": ["base64"]}}
    value = {"type": "object", "required": ["payload"], "additionalProperties": False, "properties": fields}
    body = {"type": "object", "required": ["secret"], "additionalProperties": False, "properties": {"secret": value}}
    preconditions = [_precondition("If-Match"), _precondition("If-None-Match")]
    stored = {"content": _json(enveloped), "headers": {"ETag": {"schema": _TEXT}}}
    listed = _listed("secrets", secret)
    links = {"type": "array", "items": {"type": "object", "properties": {"rel": _TEXT, "href": _TEXT}}}
    listed["properties"]["secrets_links"] = links
    marker = {"name": "marker", "in": "query", "description": "Name after which the page begins.", "schema": _TEXT}
    limit = _number("limit", DEFAULT_LIMIT, MAX_LIMIT, "Maximum number of secrets.")
    return {
        "/v1/secrets": {"get": {**_operation("list_secrets", listed), "parameters": [limit, marker]}},
        "/v1/secrets/{name}": {
            "parameters": [{**name, "description": "Name of the secret."}],
            "get": _operation("show_secret", enveloped),
            "put": {
                "operationId": "put_secret",
                "description": "Sets a value, which no response has; functions that use it get a new revision.",
                "parameters": preconditions,
                "requestBody": {"required": True, "content": _json(body)},
                "responses": {
                    "200": {"description": "Changed.", **stored},
                    "201": {"description": "Created.", **stored},
                    **_errors(),
                },
            },
            "delete": {
                "operationId": "delete_secret",
                "parameters": [_precondition("If-Match")],
                "responses": {"204": {"description": "Deleted, with all of its values."}, **_errors()},
            },
        },
    }


def _list() -> dict[str, Any]:
    links = {"type": "array", "items": {"type": "object", "properties": {"rel": _TEXT, "href": _TEXT}}}
    schema = _listed("functions", {"$ref": "#/components/schemas/Function"})
    schema["properties"]["functions_links"] = links
    malformed = {"type": "object", "properties": {"name": _TEXT, "message": _TEXT}}
    schema["properties"]["functions_malformed"] = {
        "type": "array",
        "items": malformed,
        "description": "Records that cannot be read, which were written past this API.",
    }
    marker = {"name": "marker", "in": "query", "description": "Name after which the page begins.", "schema": _TEXT}
    limit = _number("limit", DEFAULT_LIMIT, MAX_LIMIT, "Maximum number of functions.")
    return {**_operation("list_functions", schema), "parameters": [limit, marker]}


def _write(operation: str, description: str) -> dict[str, Any]:
    body = {"type": "object", "required": ["function"], "additionalProperties": False}
    body["properties"] = {"function": {"$ref": "#/components/schemas/Specification"}}
    answer = {"content": _json(_enveloped()), "headers": {"ETag": {"schema": _TEXT}}}
    return {
        "operationId": operation,
        "description": description,
        "parameters": [_precondition("If-Match"), _precondition("If-None-Match")],
        "requestBody": {"required": True, "content": _json(body)},
        "responses": {
            "200": {"description": "Nothing to change.", **answer},
            "202": {"description": "Stored; the conditions say when it is ready.", **answer},
            **_errors(),
        },
    }


def _upload() -> dict[str, Any]:
    source = {
        "type": "object",
        "properties": {
            "digest": {**_TEXT, "description": "The value for the field 'source' of a function."},
            "bytes": {"type": "integer"},
            "files": {"type": "integer"},
            "runtime": _TEXT,
        },
    }
    schema = {"type": "object", "required": ["source"], "properties": {"source": source}}
    fields = dict.fromkeys(("container", "object", "etag"), _TEXT)
    named = {"type": "object", "required": [*fields], "additionalProperties": False, "properties": fields}
    reference = {"type": "object", "required": ["source"], "properties": {"source": named}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": "put_source",
        "description": "Stores an archive of a function's folder, zip or tar.gz: the body, or an object of the "
        "project in one version. The function need not exist.",
        "requestBody": {
            "required": True,
            "content": {"application/gzip": binary, "application/zip": binary, **_json(reference)},
        },
        "responses": {"201": {"description": "Stored.", "content": _json(schema)}, **_errors()},
    }


def _operation(operation: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "responses": {"200": {"description": "The result.", "content": _json(schema)}, **_errors()},
    }


def _enveloped() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["function"],
        "properties": {"function": {"$ref": "#/components/schemas/Function"}, "changed": {"type": "boolean"}},
    }


def _listed(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": item}}}


def _specification() -> dict[str, Any]:
    integers = {
        name: {"type": ["integer", "null"], "minimum": bounds.smallest, "maximum": bounds.largest}
        for name, bounds in INTEGERS.items()
    }
    words = {name: {"type": ["array", "null"], "items": _TEXT, "maxItems": most} for name, most in WORDS.items()}
    share = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "revision": _OPTIONAL_TEXT,
            "tag": {**_OPTIONAL_TEXT, "maxLength": MAX_TAG},
        },
    }
    properties = {
        "name": _TEXT,
        "image": {**_OPTIONAL_TEXT, "description": "By digest; or 'source'."},
        "source": {**_OPTIONAL_TEXT, "description": "Digest of an archive that was stored for this function."},
        **words,
        **integers,
        "health_path": _OPTIONAL_TEXT,
        "environment": {"type": ["object", "null"], "additionalProperties": _TEXT},
        "secrets": {"type": ["array", "null"], "items": _TEXT, "maxItems": MAX_MOUNTED},
        "objects": {"type": ["boolean", "null"], "description": "Whether it takes objects as inputs and outputs."},
        "traffic": {"type": ["array", "null"], "items": share, "minItems": 1},
    }
    assert set(properties) == {"name", *FIELDS}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _function() -> dict[str, Any]:
    condition = {
        "type": "object",
        "properties": {"type": _TEXT, "status": {"type": ["boolean", "null"]}, "reason": _TEXT, "message": _TEXT},
    }
    active = {
        "type": "object",
        "properties": {"name": _TEXT, "percent": {"type": "integer"}, "tag": _OPTIONAL_TEXT},
    }
    status = {
        "type": "object",
        "required": ["current", "conditions", "active_revisions"],
        "properties": {
            "current": {"type": "boolean"},
            "image_digest": _TEXT,
            "build": {"type": ["object", "null"], "properties": dict.fromkeys(_BUILD, _OPTIONAL_TEXT)},
            "latest_created_revision": _TEXT,
            "latest_ready_revision": _TEXT,
            "active_revisions": {"type": "array", "items": active},
            "conditions": {"type": "array", "items": condition},
        },
    }
    fields = {**_specification()["properties"], "url": _TEXT, "created_at": _TEXT, "status": status}
    return {"type": "object", "required": [*fields], "properties": fields}


def _revision() -> dict[str, Any]:
    texts = dict.fromkeys(("name", "created_at", "image", "reason", "message"), _TEXT)
    tags = {"type": "array", "items": _TEXT}
    return {
        "type": "object",
        "properties": {**texts, "ready": {"type": ["boolean", "null"]}, "percent": {"type": "integer"}, "tags": tags},
    }


def _log() -> dict[str, Any]:
    texts = dict.fromkeys(("pod", "revision", "text"), _TEXT)
    return {"type": "object", "properties": {**texts, "running": {"type": "boolean"}}}


def _error() -> dict[str, Any]:
    return {"type": "object", "required": ["error", "errors"]}


def _errors() -> dict[str, Any]:
    content = _json({"$ref": "#/components/schemas/Error"})
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({kind.status for kind in ErrorCode})
    }


def _number(name: str, usual: int, most: int, description: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _precondition(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": "RFC 9110, 13.1.", "schema": _TEXT}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
