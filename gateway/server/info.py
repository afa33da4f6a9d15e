"""`GET /v1/info`: what this installation offers. Pure: settings in, a document out.

Anybody may read it, as `/info` of Swift. So it has only what a caller needs to use the service, and what requests
without a token would show as well: no addresses, no names of projects, no capacities of processes, and no release of
the software, which would tell which known weaknesses are worth trying.
"""

from collections.abc import Mapping
from typing import Any

from gateway.digests import ALGORITHMS
from gateway.http.microversions import MAX_VERSION, MIN_VERSION
from gateway.objects.model import MAX_CONTAINER_BYTES, MAX_OBJECT_BYTES
from gateway.settings import Settings

# Limits of one request; each has the name of its setting.
_LIMITS = (
    "head_max_bytes",
    "head_max_fields",
    "field_max_bytes",
    "target_max_bytes",
    "invoke_body_max_bytes",
    "invoke_max_objects",
    "bulk_body_max_bytes",
    "bulk_max_objects",
    "function_timeout_seconds",
)
_OPERATION_LIMITS = (
    "operation_body_max_bytes",
    "operation_max_age_seconds",
    "operation_retention_max_seconds",
    "operation_wait_max_seconds",
)
# Of what needs the Swift API: sweeps, and bodies of asynchronous calls that are objects.
_CONTAINER_LIMITS = ("operation_object_max_bytes", "sweep_max_seconds", "sweep_dump_max_bytes")

_FEATURES = ("asynchronous_calls", "callbacks", "own_functions", "sweeps", "triggers", "usage")
_TEXT = {"type": "string"}
_NAMES = {"type": "array", "items": {"enum": list(ALGORITHMS)}}
INFO_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["service_type", "versions", "algorithms", "default_algorithms", "object_store", "features", "limits"],
    "properties": {
        "service_type": _TEXT,
        "versions": {"type": "object", "properties": {"min_version": _TEXT, "max_version": _TEXT}},
        "algorithms": _NAMES,
        "default_algorithms": _NAMES,
        "object_store": {"enum": ["swift", "rgw", "s3"]},
        "features": {
            "type": "object",
            "required": list(_FEATURES),
            "properties": {name: {"type": "boolean"} for name in _FEATURES},
        },
        "limits": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}


def info_document(settings: Settings, *, triggers: bool) -> dict[str, Any]:
    """The document.

    Args:
        settings: of the gateway.
        triggers: whether events can fire triggers.
    """
    durable = settings.database_url is not None
    containers = durable and settings.object_store != "s3"
    named = _LIMITS + (_OPERATION_LIMITS if durable else ()) + (_CONTAINER_LIMITS if containers else ())
    return {
        "service_type": settings.service_type,
        "versions": {"min_version": str(MIN_VERSION), "max_version": str(MAX_VERSION)},
        "algorithms": list(ALGORITHMS),
        "default_algorithms": list(settings.default_algorithms),
        "object_store": settings.object_store,
        "features": {
            "asynchronous_calls": durable,
            "callbacks": durable and settings.callback_keys is not None,
            "own_functions": settings.functions_api,
            "sweeps": containers,
            "triggers": triggers,
            "usage": durable,
        },
        "limits": {
            "container_name_max_bytes": MAX_CONTAINER_BYTES,
            "object_name_max_bytes": MAX_OBJECT_BYTES,
            **{name: getattr(settings, name) for name in named},
        },
    }
