"""Summaries and examples of the operations of `/v1/functions` and `/v1/secrets`, by operation id."""

from collections.abc import Mapping

from gateway.server.openapi_examples import Example

_DIGEST = "sha256:7d0c5e0b8fd1d2d7a6a2f6cf58c5d64e6f0fdd4d2a2b1b8a1b8f2f1f2a3b4c5d"
_IMAGE = f"registry.example.org/atlas/hello@{_DIGEST}"
_REVISION = "hello-3f9c2a1b"
_TIME = "2026-11-24T12:00:00Z"
_HELLO, _UPLOADS, _KEY = "/v1/functions/hello", "/v1/functions/hello/triggers/uploads", "/v1/secrets/api-key"

_FUNCTION: dict[str, object] = {
    "name": "hello",
    "image": _IMAGE,
    "source": None,
    "command": [],
    "args": [],
    "port": 8080,
    "run_as_user": 65532,
    "cpu_millis": 250,
    "memory_mib": 256,
    "concurrency": 8,
    "timeout_seconds": 300,
    "min_scale": 0,
    "max_scale": 5,
    "attempt": 0,
    "health_path": None,
    "environment": {"GREETING": "hello"},
    "secrets": [],
    "objects": False,
    "traffic": None,
    "url": "https://faas.example.org/v1/invoke/hello/",
    "created_at": _TIME,
    "status": {
        "current": True,
        "image_digest": _DIGEST,
        "build": None,
        "latest_created_revision": _REVISION,
        "latest_ready_revision": _REVISION,
        "active_revisions": [{"name": _REVISION, "percent": 100, "tag": None}],
        "conditions": [{"type": "Ready", "status": True, "reason": "Ready", "message": ""}],
    },
}
_TRIGGER = {
    "name": "uploads",
    "function": "hello",
    "user_id": "77aa1c0e5c6d4f0d9b7f3f7f3f0b1a2c",
    "object_created": {"container": "photos", "prefix": "in/", "output": "photos/small/{rest}", "overwrite": False},
    "created_at": _TIME,
    "next_at": None,
    "status": {
        "current": True,
        "last_firing": None,
        "conditions": [{"type": "Ready", "status": True, "reason": "Ready", "message": ""}],
    },
}
_SECRET = {"name": "api-key", "changed_at": _TIME, "used_by": ["hello"]}
_LOGS = {"logs": [{"pod": f"{_REVISION}-x7k2p", "revision": _REVISION, "running": True, "text": "started\n"}]}
_METRICS = {
    "metrics": {
        "since": _TIME,
        "replicas": 2,
        "replicas_answered": 2,
        "revisions": [
            {
                "name": _REVISION,
                "percent": 100,
                "calls": 900,
                "errors": 0,
                "p50_seconds": 0.012,
                "p95_seconds": 0.048,
                "cold_starts": 2,
            }
        ],
    }
}
_STORED = {
    "name": _REVISION,
    "created_at": _TIME,
    "image": _IMAGE,
    "ready": True,
    "reason": "",
    "message": "",
    "percent": 100,
    "tags": [],
}

EXAMPLES: Mapping[str, Example] = {
    "list_functions": Example(
        summary="List functions",
        target="/v1/functions?limit=100",
        answer={"functions": [_FUNCTION], "functions_links": []},
    ),
    "openapi": Example(summary="Read this description of the API", target="/v1/functions/openapi.json"),
    "show_function": Example(summary="Show a function", target=_HELLO, answer={"function": _FUNCTION}),
    "put_function": Example(
        summary="Create or replace a function",
        target=_HELLO,
        body={"function": {"image": _IMAGE, "environment": {"GREETING": "hello"}, "max_scale": 5}},
        fields={"If-None-Match": "*"},
        answer={"function": _FUNCTION, "changed": False},
    ),
    "patch_function": Example(
        summary="Change fields of a function",
        target=_HELLO,
        body={"function": {"memory_mib": 256, "health_path": None}},
        answer={"function": _FUNCTION, "changed": False},
    ),
    "delete_function": Example(summary="Delete a function", target=_HELLO),
    "put_source": Example(
        summary="Store the code of a function",
        target=f"{_HELLO}/source",
        body="hello.zip",
        media_type="application/zip",
        answer={"source": {"digest": _DIGEST, "bytes": 1024, "files": 3, "runtime": "python"}},
    ),
    "show_build_logs": Example(
        summary="Show the output of the last build", target=f"{_HELLO}/build-logs?tail=100", answer=_LOGS
    ),
    "list_triggers": Example(
        summary="List the triggers of a function", target=f"{_HELLO}/triggers", answer={"triggers": [_TRIGGER]}
    ),
    "show_trigger": Example(summary="Show a trigger", target=_UPLOADS, answer={"trigger": _TRIGGER}),
    "put_trigger": Example(
        summary="Create or replace a trigger",
        target=_UPLOADS,
        body={"trigger": {"object_created": {"container": "photos", "prefix": "in/", "output": "photos/small/{rest}"}}},
        answer={"trigger": _TRIGGER, "changed": True},
    ),
    "delete_trigger": Example(summary="Delete a trigger", target=_UPLOADS),
    "list_revisions": Example(
        summary="List the revisions of a function", target=f"{_HELLO}/revisions", answer={"revisions": [_STORED]}
    ),
    "show_logs": Example(summary="Show the output of a function", target=f"{_HELLO}/logs?tail=100", answer=_LOGS),
    "show_metrics": Example(summary="Show the calls of each revision", target=f"{_HELLO}/metrics", answer=_METRICS),
    "list_secrets": Example(
        summary="List secrets", target="/v1/secrets", answer={"secrets": [_SECRET], "secrets_links": []}
    ),
    "show_secret": Example(summary="Show a secret, without its value", target=_KEY, answer={"secret": _SECRET}),
    "put_secret": Example(
        summary="Set a secret",
        target=_KEY,
        body={"secret": {"payload": "a value"}},
        answer={"secret": _SECRET},
    ),
    "delete_secret": Example(summary="Delete a secret", target=_KEY),
}
