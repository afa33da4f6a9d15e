"""Results that are no resources: digests, limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Checksum:
    """Digests of one object.

    Attributes:
        container: of the object.
        object: its name.
        digests: lowercase hex by algorithm.
        etag: of the content that was read.
        size: of that content in bytes.
        stored: whether the digests are in the object's metadata now.
        error: why there is none, in a listing.
    """

    container: str
    object: str
    digests: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    size: int | None = None
    stored: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Limit:
    """A limit of the project; -1 is no limit.

    Attributes:
        name: as in `usage` and in the project's record.
        usage: how much is in use; None: the gateway does not count it.
        resource: its name in Keystone's unified limits.
        source: where the number comes from: `project_limit`, `registered_limit` or `domain_limit` in Keystone, the
            project's record (`tenant`), or the settings of the `gateway`; None: the gateway does not say.
    """

    name: str
    limit: float
    usage: float | None
    resource: str
    source: str | None


# Name, resource in Keystone, and name among the absolute limits of what the gateway does not count.
_LIMITS = (
    ("functions", "functions", "maxFunctions"),
    ("concurrent_calls", "function_concurrency", None),
    ("requests_per_second", "function_requests_per_second", None),
    ("cpu_millis", "function_cpu_millis", "maxCpuMillis"),
    ("memory_mib", "function_memory_mib", "maxMemoryMiB"),
    ("bytes_per_second", "checksum_bytes_per_second", None),
)


def limits_of(document: Mapping[str, Any]) -> Iterator[Limit]:
    """The limits in an answer to `GET /v1/limits`; a project without a record has fewer."""
    absolute, usage, sources = document["limits"]["absolute"], document["usage"], document.get("sources", {})
    for name, resource, most in _LIMITS:
        source = sources.get(resource)
        if most is None and name in usage:
            yield Limit(name, usage[name]["limit"], usage[name]["usage"], resource, source)
        elif most in absolute:
            yield Limit(name, absolute[most], None, resource, source)
