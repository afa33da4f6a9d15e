"""The OpenAPI document of the data plane, made from the same tables that the code runs on."""

from http import HTTPStatus
from typing import Any

from gateway.checksums.assertion import FIELD as ASSERTED
from gateway.checksums.known import Source
from gateway.compute.binding_fields import INPUT as OF_INPUTS
from gateway.compute.binding_fields import OUTPUT as OF_OUTPUTS
from gateway.digests import ALGORITHMS, BY_WIRE_NAME
from gateway.errors import ErrorCode
from gateway.invoke.object_query import INPUT, METHOD, OUTPUT, OVERWRITE
from gateway.invoke.routes import METHODS
from gateway.limits.model import NAMES
from gateway.limits_api.document import SOURCES
from gateway.server.info import INFO_SCHEMA
from gateway.server.openapi_examples import with_examples
from gateway.server.openapi_operations import OPERATION_SCHEMA, operation_paths
from gateway.server.openapi_sweeps import SWEEP_SCHEMA, sweep_paths
from gateway.server.openapi_texts import EXAMPLES
from gateway.usage.query import FORMATS, GROUP_NAMES
from policies.unified_limits import RESOURCES

_TOKEN_SCHEMES = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "Keystone token, project-scoped.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in names}


_LIMIT_HEADERS = _headers("RateLimit-Policy", "RateLimit")
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
_LIMITS: dict[str, Any] = {
    "type": "object",
    "required": ["limits", "usage"],
    "properties": {
        "limits": {
            "type": "object",
            "required": ["rate", "absolute"],
            "properties": {"rate": {"type": "array", "items": {"type": "object"}}, "absolute": _NUMBERS},
        },
        "usage": {"type": "object", "additionalProperties": _NUMBERS},
        "sources": {"type": "object", "additionalProperties": {"enum": list(SOURCES)}},
    },
}


def openapi_document(public_url: str) -> dict[str, Any]:
    """The document (OpenAPI 3.1)."""
    by_path = [
        _parameter("container", "path", "Swift container or S3 bucket.", required=True),
        _parameter("object", "path", "Name of the object, with all its slashes, percent-encoded.", required=True),
    ]
    by_query = [
        _parameter("bucket", "query", "Swift container or S3 bucket.", required=True),
        _parameter("file", "query", "Name of the object.", required=True),
    ]
    document = {
        "openapi": "3.1.0",
        "info": {"title": "OpenStack FaaS gateway", "version": "1.0", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": public_url}],
        "security": [{name: []} for name in _TOKEN_SCHEMES],
        "paths": {
            "/": {"get": _open("Version document.", "versions", _json({"type": "object"}))},
            "/v1/": {"get": _open("Version document.", "versions_v1", _json({"type": "object"}))},
            "/healthcheck": {"get": _open("Health.", "healthcheck", _text())},
            "/readyz": {"get": _open("Readiness.", "readyz", _text())},
            "/metrics": {"get": _open("Prometheus metrics.", "metrics", _text())},
            "/v1/openapi.json": {"get": _open("This document.", "openapi", _json({"type": "object"}))},
            "/v1/info": {"get": _info()},
            "/v1/checksums/{container}/{object}": _digest_path("object", by_path),
            "/v1/checksums/": _digest_path("query", by_query),
            "/v1/checksums": {"post": _bulk()},
            "/v1/events": {"post": _events()},
            "/v1/limits": {"get": _limits()},
            "/v1/usage": {"get": _usage()},
            "/checksums/": _digest_path("original", by_query),
            "/v1/invoke/{function}/{path}": _invoke_path(),
            **operation_paths(_errors(_json({"$ref": "#/components/schemas/Error"}))),
            **sweep_paths(_errors(_json({"$ref": "#/components/schemas/Error"}))),
        },
        "components": {"securitySchemes": _TOKEN_SCHEMES, "schemas": _schemas()},
    }
    return with_examples(document, EXAMPLES)


def _info() -> dict[str, Any]:
    """The only open route that has an answer without a body, and one that an operator can switch off."""
    shown = _open("What this installation offers.", "info", _json({"$ref": "#/components/schemas/Info"}))
    shown["responses"]["200"]["headers"] = _headers("ETag", "Cache-Control")
    shown["responses"] |= {
        "304": {"description": "The caller has it: If-None-Match names its ETag."},
        "404": {"description": "The operator has switched it off."},
    }
    return shown


def _digest_path(name: str, where: list[dict[str, Any]]) -> dict[str, Any]:
    parameters = [
        *where,
        _parameter("algorithm", "query", f"Comma list of {', '.join(sorted(BY_WIRE_NAME))}."),
        _parameter("cks.type", "query", "The same, as XRootD spells it."),
        _parameter("xrdclhttp.timeout", "query", "Sent by XRootD, and ignored."),
        _parameter("version-id", "query", "A version of the object."),
        _parameter("versionId", "query", "The same, as S3 spells it. Unknown parameters are refused."),
        _parameter("force", "query", "Compute even what is known: true or false."),
        _parameter("store", "query", "Keep the digests in the object's metadata: true or false."),
        _parameter("Want-Digest", "header", "RFC 3230."),
        _parameter("Want-Repr-Digest", "header", "RFC 9530."),
        _parameter(ASSERTED, "header", "RFC 9530: digests that the object should have; answered with 204 or 412."),
    ]
    errors = _errors({**_json({"$ref": "#/components/schemas/Error"}), **_text()})
    body = {**_json({"$ref": "#/components/schemas/Digests"}), **_text()}
    headers = {**_headers("Digest", "Repr-Digest"), **_LIMIT_HEADERS}
    get = {"description": "The digests.", "content": body, "headers": headers}
    head = {"description": "Header fields of the object, and the digests.", "headers": headers}
    verdict = {"204": {"description": "The object has the digests that the request asserts.", "headers": headers}}
    return {
        "parameters": parameters,
        "get": {"operationId": f"get_digests_by_{name}", "responses": {"200": get, **verdict, **errors}},
        "head": {"operationId": f"head_digests_by_{name}", "responses": {"200": head, **verdict, **errors}},
    }


def _bulk() -> dict[str, Any]:
    lines = {
        "description": "A line for each object, as soon as it is known; empty lines say that the work goes on.",
        "content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/BulkLine"}}},
        "headers": _LIMIT_HEADERS,
    }
    return {
        "operationId": "bulk_digests",
        "description": "Digests of many objects. Each fails for itself alone.",
        "requestBody": {"required": True, "content": _json({"$ref": "#/components/schemas/BulkOrder"})},
        "responses": {"200": lines, **_errors(_json({"$ref": "#/components/schemas/Error"}))},
    }


def _events() -> dict[str, Any]:
    outcomes = {"type": "object", "additionalProperties": {"type": "integer"}}
    texts = {name: {"type": "string"} for name in ("function", "trigger", "outcome", "id")}
    fired = {"type": "object", "properties": {"record": {"type": "integer"}, **texts}}
    properties = {
        "outcomes": outcomes,
        "triggers": {"type": "array", "items": fired},
        "further_triggers": {"type": "integer"},
    }
    counted = _json({"type": "object", "required": ["outcomes"], "properties": properties})
    shown = {"content": counted, "headers": _LIMIT_HEADERS}
    one = {"schema": {"type": "object"}}
    content = {
        "application/cloudevents+json": one,
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
        "application/json": one,
    }
    return {
        "operationId": "receive_events",
        "description": "Events of S3, Ceph RGW and MinIO, as CloudEvents or bare. Digests are kept, and triggers fire.",
        "parameters": [
            _parameter("algorithm", "query", f"Comma list of {', '.join(sorted(BY_WIRE_NAME))}."),
            _parameter("checksums", "query", "false: no digests, and triggers of functions only."),
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The same as 204, if Accept names JSON.", **shown},
            "204": {"description": "Every event has been processed.", "headers": _LIMIT_HEADERS},
            **_errors(_json({"$ref": "#/components/schemas/Error"})),
        },
    }


def _limits() -> dict[str, Any]:
    shown = {"description": "Limits of the project, and how much of them is used.", "content": _json(_LIMITS)}
    shown["headers"] = _LIMIT_HEADERS
    return {
        "operationId": "show_limits",
        "responses": {"200": shown, **_errors(_json({"$ref": "#/components/schemas/Error"}))},
    }


def _usage() -> dict[str, Any]:
    text = {"type": "string"}
    period = [
        _parameter("start", "query", "Date or time (ISO 8601). Default: the beginning of the month."),
        _parameter("end", "query", "Date or time (ISO 8601), excluded. Default: now."),
        _parameter("group_by", "query", f"Some of {', '.join(GROUP_NAMES)}, separated by commas."),
        _parameter("format", "query", f"One of {', '.join(FORMATS)}."),
        _parameter("limit", "query", "Maximum number of rows."),
        _parameter("marker", "query", "From the link to the next page."),
    ]
    rows = {"type": "array", "items": {"type": "object"}}
    document = {
        "type": "object",
        "required": ["start", "end", "usage", "usage_links"],
        "properties": {"start": text, "end": text, "usage": rows, "usage_links": rows},
    }
    shown: dict[str, Any] = {
        "description": "Sums of the project's calls; another format has another document.",
        "content": {**_json({"anyOf": [document, {"type": "object"}]}), "text/csv": {"schema": text}},
        "headers": {**_LIMIT_HEADERS, **_headers("Link")},
    }
    return {
        "operationId": "show_usage",
        "parameters": period,
        "responses": {"200": shown, **_errors(_json({"$ref": "#/components/schemas/Error"}))},
    }


def _invoke_path() -> dict[str, Any]:
    """Whatever the function takes and answers, and our own errors."""
    answer = {
        "description": "The function's own answer, or an error of ours.",
        "content": {"*/*": {}},
        "headers": _LIMIT_HEADERS,
    }
    with_objects = {**answer, "headers": {**_LIMIT_HEADERS, **_headers(OF_INPUTS, OF_OUTPUTS)}}
    operations: dict[str, dict[str, Any]] = {
        method: {"operationId": f"invoke_{method.lower()}", "responses": {"default": answer}} for method in METHODS
    }
    operations[METHOD] |= {"parameters": _object_parameters(), "responses": {"default": with_objects}}
    return {
        "parameters": [
            _parameter("function", "path", "A callable Knative Service of the project.", required=True),
            _parameter("path", "path", "Path that the function is sent, with all its slashes.", required=True),
        ],
        **{method.lower(): operation for method, operation in operations.items()},
    }


def _object_parameters() -> list[dict[str, Any]]:
    """Of a function that takes objects; for every other one, its query is its own."""
    objects = {"schema": {"type": "array", "items": {"type": "string"}}, "style": "form", "explode": True}
    value = "[name:]container/object; may be repeated. For functions that take objects."
    return [
        {**_parameter(INPUT, "query", f"Object that the function may read: {value}"), **objects},
        {**_parameter(OUTPUT, "query", f"Object that the function may write: {value}"), **objects},
        _parameter(OVERWRITE, "query", "Whether outputs may replace objects that exist: true or false."),
    ]


def _errors(content: dict[str, Any]) -> dict[str, Any]:
    return {
        str(status): {
            "description": "; ".join(f"`{kind.code}`" for kind in ErrorCode if kind.status == status),
            "content": content,
            **({"headers": _LIMIT_HEADERS} if status == HTTPStatus.TOO_MANY_REQUESTS else {}),
        }
        for status in sorted({kind.status for kind in ErrorCode})
    }


def _schemas() -> dict[str, Any]:
    digests = {
        name: {"type": "string", "pattern": f"^[0-9a-f]{{{2 * algorithm.size}}}$"}
        for name, algorithm in ALGORITHMS.items()
    }
    return {
        "Info": INFO_SCHEMA,
        "Operation": OPERATION_SCHEMA,
        "Sweep": SWEEP_SCHEMA,
        "Digests": {
            "type": "object",
            "required": ["container", "object", "version_id", "etag", "size", "digests", "sources"],
            "additionalProperties": False,
            "properties": {
                "container": {"type": "string"},
                "object": {"type": "string"},
                "version_id": {"type": ["string", "null"]},
                "etag": {"type": "string"},
                "size": {"type": "integer", "minimum": 0},
                "digests": {"type": "object", "properties": digests, "additionalProperties": False},
                "sources": {
                    "type": "object",
                    "additionalProperties": {"enum": [str(source) for source in Source]},
                },
                "stored": {"type": "boolean"},
            },
        },
        "BulkOrder": {
            "type": "object",
            "required": ["objects"],
            "additionalProperties": False,
            "properties": {
                "objects": {"type": "array", "items": _object_name(), "minItems": 1},
                "algorithms": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 64},
                "force": {"type": "boolean"},
                "store": {"type": "boolean"},
            },
        },
        "BulkLine": {
            "type": "object",
            "required": ["index", "container", "object", "version_id"],
            # As they were named; null where that was no name.
            "properties": {
                "index": {"type": "integer", "minimum": 0},
                **{field: {"type": ["string", "null"]} for field in _object_name()["properties"]},
            },
            "oneOf": [{"required": ["digests", "etag", "size", "sources"]}, {"required": ["error", "errors"]}],
        },
        "Error": {
            "type": "object",
            "required": ["error", "errors"],
            "properties": {
                "error": {"type": "object", "required": ["code", "title", "message"]},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["request_id", "code", "status", "title", "detail"],
                        "properties": {
                            "code": {"enum": [kind.code for kind in ErrorCode]},
                            "limit": _reached(),
                            "over_limit": {"type": "array", "items": _over_limit()},
                        },
                    },
                },
            },
        },
    }


def _reached() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "value", "usage"],
        "properties": {
            "name": {"enum": list(NAMES)},
            "value": {"type": "integer"},
            "usage": {"type": "number"},
        },
    }


def _over_limit() -> dict[str, Any]:
    """As oslo.limit's `OverLimitInfo`."""
    return {
        "type": "object",
        "required": ["resource_name", "limit", "current_usage", "delta"],
        "properties": {
            "resource_name": {"enum": [resource.name for resource in RESOURCES]},
            "limit": {"type": "integer"},
            "current_usage": {"type": "number"},
            "delta": {"type": "integer"},
        },
    }


def _object_name() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["container", "object"],
        "additionalProperties": False,
        "properties": {
            "container": {"type": "string"},
            "object": {"type": "string"},
            "version_id": {"type": ["string", "null"]},
        },
    }


def _open(description: str, operation: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "security": [],
        "responses": {"200": {"description": description, "content": content}},
    }


def _parameter(name: str, where: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": description,
        "required": required,
        "schema": {"type": "string"},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _text() -> dict[str, Any]:
    return {"text/plain": {"schema": {"type": "string"}}}
