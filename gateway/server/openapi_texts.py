"""Summaries and examples of the gateway's operations, by operation id."""

from collections.abc import Mapping

from gateway.digests import ALGORITHMS
from gateway.http.routes import version_document
from gateway.server.openapi_examples import Example

_ID = "01939f2e-0000-7000-8000-000000000000"
_PROJECT, _USER = "3d1f0c5ab2f54ad5a7a2ab0e51b2a1c9", "77aa1c0e5c6d4f0d9b7f3f7f3f0b1a2c"
_MD5 = "a5dc2db338f2c97d3a11dfa9abfa0407"
_URL = "https://faas.example.org"

_DIGESTS = {
    "container": "demo",
    "object": "file.txt",
    "version_id": None,
    "etag": _MD5,
    "size": 4096,
    "digests": {"adler32": "a4d711db", "md5": _MD5},
    "sources": {"adler32": "computed", "md5": "native"},
}
_OPERATION = {
    "id": _ID,
    "kind": "invoke",
    "subject": "hello",
    "state": "queued",
    "cancel_requested": False,
    "project_id": _PROJECT,
    "user_id": _USER,
    "request_id": "req-4f3c2b1a-0000-4000-8000-000000000000",
    "attempts": 0,
    "progress": {"bytes": 0, "objects": 0},
    "created_at": "2026-11-30T08:00:00.000000Z",
    "next_attempt_at": "2026-11-30T08:00:00.000000Z",
    "expires_at": "2026-12-01T08:00:00.000000Z",
    "started_at": None,
    "finished_at": None,
    "kept_until": None,
    "error": None,
    "links": [
        {"rel": "self", "href": f"/v1/operations/{_ID}"},
        {"rel": "result", "href": f"/v1/operations/{_ID}/result"},
    ],
}
_SWEEP = {
    **_OPERATION,
    "kind": "sweep",
    "subject": "demo/raw/",
    "total": {"bytes": 11520, "objects": 120},
    "estimated_end": None,
    "links": [{"rel": "self", "href": f"/v1/sweeps/{_ID}"}, *_OPERATION["links"]],  # type: ignore[misc]  # a list
}
_LIMITS = {
    "limits": {
        "rate": [],
        "absolute": {
            "maxConcurrentCalls": 32,
            "totalConcurrentCallsUsed": 3,
            "maxRequestsPerSecond": -1,
            "totalRequestsPerSecondUsed": 0,
            "maxBytesPerSecond": -1,
            "totalBytesPerSecondUsed": 0,
        },
    },
    "usage": {
        "concurrent_calls": {"limit": 32, "usage": 3},
        "requests_per_second": {"limit": -1, "usage": 0},
        "bytes_per_second": {"limit": -1, "usage": 0},
    },
    "sources": {"function_concurrency": "project_limit"},
}
_USAGE = {
    "start": "2026-11-01T00:00:00Z",
    "end": "2026-11-29T19:00:00Z",
    "usage": [{"function": "hello", "calls": 2, "failed": 1, "cold_starts": 1, "gb_seconds": 0.25}],
    "usage_links": [],
}
_INFO = {
    "service_type": "function",
    "versions": {"min_version": "1.0", "max_version": "1.0"},
    "algorithms": list(ALGORITHMS),
    "default_algorithms": ["adler32", "md5"],
    "object_store": "swift",
    "features": {
        "asynchronous_calls": True,
        "callbacks": False,
        "own_functions": True,
        "sweeps": True,
        "triggers": True,
        "usage": True,
    },
    "limits": {"bulk_max_objects": 10_000, "invoke_body_max_bytes": 1 << 30},
}
_BULK_LINE = (
    '{"index": 0, "container": "demo", "object": "file.txt", "version_id": null, '
    f'"etag": "{_MD5}", "size": 4096, "digests": {{"adler32": "a4d711db"}}, "sources": {{"adler32": "computed"}}}}\n'
)
_EVENT = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "demo"}, "object": {"key": "file.txt", "eTag": _MD5, "size": 4096}},
        }
    ]
}


def _digests(how: str, named: str, target: str) -> dict[str, Example]:
    return {
        f"get_digests_by_{how}": Example(
            summary=f"Get the digests of an object{named}",
            target=f"{target}algorithm=adler32,md5",
            answer=_DIGESTS,
        ),
        f"head_digests_by_{how}": Example(
            summary=f"Get the digests of an object{named} as fields",
            target=target.rstrip("?&"),
            fields={"Want-Repr-Digest": "sha-256=1"},
        ),
    }


def _invocations() -> dict[str, Example]:
    target = "/v1/invoke/hello/greetings/1"
    examples = {
        f"invoke_{method}": Example(summary=f"Call a function with {method.upper()}", target=target)
        for method in ("get", "head", "put", "patch", "delete", "options")
    }
    with_objects = "/v1/invoke/thumbnail/?input=photos/in/a.png&output=photos/small/a.png"
    return {**examples, "invoke_post": Example(summary="Call a function with POST", target=with_objects)}


EXAMPLES: Mapping[str, Example] = {
    "versions": Example(summary="Discover the versions", target="/", answer=version_document(_URL)),
    "versions_v1": Example(summary="Discover the versions, below /v1", target="/v1/", answer=version_document(_URL)),
    "healthcheck": Example(summary="Check that the gateway takes requests", target="/healthcheck", answer="OK"),
    "readyz": Example(summary="Check that the gateway is ready", target="/readyz", answer="ok"),
    "metrics": Example(
        summary="Read the metrics",
        target="/metrics",
        answer='osfaas_requests_total{method="GET",route="limits",status="200"} 1.0\n',
    ),
    "openapi": Example(summary="Read this description of the API", target="/v1/openapi.json"),
    "info": Example(summary="Show what the service offers", target="/v1/info", answer=_INFO),
    **_digests("object", "", "/v1/checksums/demo/file.txt?"),
    **_digests("query", " in the query", "/v1/checksums/?bucket=demo&file=file.txt&"),
    **_digests("original", " at the old path", "/checksums/?bucket=demo&file=file.txt&"),
    "bulk_digests": Example(
        summary="Get the digests of many objects",
        target="/v1/checksums",
        body={"objects": [{"container": "demo", "object": "file.txt"}], "algorithms": ["adler32"]},
        answer=_BULK_LINE,
    ),
    "receive_events": Example(
        summary="Send events of objects",
        target="/v1/events?algorithm=adler32",
        body=_EVENT,
        fields={"Accept": "application/json"},
        answer={"outcomes": {"computed": 1}},
    ),
    "show_limits": Example(
        summary="Show the limits of the project and their usage", target="/v1/limits", answer=_LIMITS
    ),
    "show_usage": Example(
        summary="Show what the project has used", target="/v1/usage?group_by=function", answer=_USAGE
    ),
    **_invocations(),
    "list_operations": Example(
        summary="List operations",
        target="/v1/operations?state=queued,running",
        answer={"operations": [_OPERATION], "links": []},
    ),
    "show_operation": Example(summary="Show an operation", target=f"/v1/operations/{_ID}", answer=_OPERATION),
    "cancel_operation": Example(summary="Cancel an operation", target=f"/v1/operations/{_ID}", answer=_OPERATION),
    "get_operation_result": Example(summary="Get the answer of an operation", target=f"/v1/operations/{_ID}/result"),
    "retry_operation": Example(
        summary="Start a failed operation again", target=f"/v1/operations/{_ID}/retry", answer=_OPERATION
    ),
    "show_callback_key": Example(
        summary="Show the key that signs callbacks", target="/v1/callback-key", answer={"secret": "whsec_c2VjcmV0"}
    ),
    "list_sweeps": Example(summary="List sweeps", target="/v1/sweeps?subject=demo", answer={"sweeps": [_SWEEP]}),
    "create_sweep": Example(
        summary="Begin a sweep",
        target="/v1/sweeps",
        body={"container": "demo", "prefix": "raw/", "algorithms": ["adler32"]},
        fields={"Idempotency-Key": "night-1"},
        answer=_SWEEP,
    ),
    "show_sweep": Example(summary="Show a sweep and its progress", target=f"/v1/sweeps/{_ID}", answer=_SWEEP),
}
