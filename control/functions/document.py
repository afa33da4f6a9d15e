"""JSON documents of `/v1/functions`. Pure."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from policies.own_function import ALL_TO_LATEST, OwnFunction, TrafficTarget
from tenancy.function_repository import ContainerLog, Revision
from tenancy.model.function import FunctionBuild, FunctionRecord, MalformedFunction

_OWN_FORM = {"image", "source", "command", "args", "environment", "secrets", "traffic"}
_PLAIN = tuple(field.name for field in fields(OwnFunction) if field.name not in _OWN_FORM)


def document_of(record: FunctionRecord, public_url: str) -> dict[str, Any]:
    """The JSON of one function.

    Args:
        record: of the function.
        public_url: of the gateway, without a trailing slash.
    """
    spec, status = record.spec, record.status
    return {
        **{name: getattr(spec, name) for name in _PLAIN},
        "image": spec.image or None,
        "source": spec.source or None,
        "command": list(spec.command),
        "args": list(spec.args),
        "environment": dict(sorted(spec.environment.items())),
        "secrets": list(spec.secrets),
        "traffic": None if spec.traffic == ALL_TO_LATEST else [_target(target) for target in spec.traffic],
        "url": f"{public_url}/v1/invoke/{record.name}/",
        "created_at": record.created_at,
        "status": {
            "current": bool(record.generation) and status.observed_generation == record.generation,
            "image_digest": status.image_digest,
            "build": _build(status.build) if status.build else None,
            "latest_created_revision": status.latest_created,
            "latest_ready_revision": status.latest_ready,
            "active_revisions": [
                {"name": each.name, "percent": each.percent, "tag": each.tag} for each in status.active
            ],
            "conditions": [
                {"type": each.type.value, "status": each.status, "reason": each.reason, "message": each.message}
                for each in status.conditions
            ],
        },
    }


def malformed_document(function: MalformedFunction) -> dict[str, Any]:
    """The JSON of a record that cannot be read."""
    return {"name": function.name, "message": function.problem}


def revision_document(revision: Revision, record: FunctionRecord) -> dict[str, Any]:
    """The JSON of one revision, with the share of the function's calls that it gets."""
    shares = [each for each in record.status.active if each.name == revision.name]
    return {
        "name": revision.name,
        "created_at": revision.created_at,
        "image": revision.image,
        "ready": revision.ready,
        "reason": revision.reason,
        "message": revision.message,
        "percent": sum(each.percent for each in shares),
        "tags": [each.tag for each in shares if each.tag],
    }


def logs_document(logs: Iterable[ContainerLog]) -> list[dict[str, Any]]:
    """The JSON of the logs of a function."""
    return [{"pod": log.pod, "revision": log.revision, "running": log.running, "text": log.text} for log in logs]


def _build(build: FunctionBuild) -> dict[str, Any]:
    """The last build that ended."""
    return {
        "source": build.source,
        "image": build.image or None,
        "runtime": build.runtime or None,
        "reason": build.reason,
        "message": build.message,
    }


def _target(target: TrafficTarget) -> dict[str, Any]:
    return {"percent": target.percent, "revision": target.revision, "tag": target.tag}
