"""A project's limits in OpenStack's formats: `limits` of Nova and Cinder, `usage` of Glance. Pure."""

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.limit_use import LimitUse
from gateway.limits.model import BYTES_PER_SECOND, CONCURRENT_CALLS, REQUESTS_PER_SECOND
from policies.unified_limits import RESOURCES, LimitsInForce, LimitSource

# OpenStack's word for "not limited".
UNLIMITED = -1
_ABSOLUTE = {
    CONCURRENT_CALLS: ("maxConcurrentCalls", "totalConcurrentCallsUsed"),
    REQUESTS_PER_SECOND: ("maxRequestsPerSecond", "totalRequestsPerSecondUsed"),
    BYTES_PER_SECOND: ("maxBytesPerSecond", "totalBytesPerSecondUsed"),
}
_RATES = {
    REQUESTS_PER_SECOND: ("*", "^/v1/(checksums|events|invoke)", "ANY"),
    BYTES_PER_SECOND: ("/v1/checksums", "^/v1/(checksums|events)", "READ"),
}


# Sources of numbers that Keystone does not have.
OF_TENANT, OF_GATEWAY = "tenant", "gateway"
SOURCES = (*(source.value for source in LimitSource), OF_TENANT, OF_GATEWAY)


def limits_document(
    used: Iterable[LimitUse],
    in_force: LimitsInForce,
    *,
    of_record: bool,
    now: dt.datetime,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """The answer to `GET /v1/limits`.

    Args:
        used: the limits of the project, in the order in which they are shown.
        in_force: the limits of the project, with their sources.
        of_record: whether the project has a record of its limits, which also size its namespace; otherwise the
            gateway's settings apply.
        now: for `next-available`, in UTC.
        sizes: more absolute limits, which no use counts against.
    """
    uses = tuple(used)
    absolute: dict[str, float] = {}
    for use in uses:
        most, taken = _ABSOLUTE[use.name]
        absolute |= {most: _value(use), taken: _short(use.usage)}
    absolute |= sizes
    limits = in_force.limits
    if of_record:
        absolute |= {
            "maxPods": limits.pods,
            "maxCpuMillis": limits.cpu_millis,
            "maxMemoryMiB": limits.memory_mib,
            "maxFunctions": limits.own_functions,
        }
    return {
        "limits": {
            "rate": [_rate(use, now) for use in uses if use.name in _RATES and use.value > 0],
            "absolute": absolute,
        },
        "usage": {use.name: {"limit": _value(use), "usage": _short(use.usage)} for use in uses},
        "sources": _sources(in_force, of_record=of_record),
    }


def _sources(in_force: LimitsInForce, *, of_record: bool) -> dict[str, str]:
    """Where each number comes from, by name of the resource in Keystone."""
    usual = OF_TENANT if of_record else OF_GATEWAY
    return {
        resource.name: in_force.sources[resource.field].value if resource.field in in_force.sources else usual
        for resource in RESOURCES
        if of_record or resource.field in _ABSOLUTE
    }


def _rate(use: LimitUse, now: dt.datetime) -> dict[str, Any]:
    uri, regex, verb = _RATES[use.name]
    # Whole seconds, and never before it is true.
    available = now + dt.timedelta(seconds=min(math.ceil(use.wait_seconds), 10**9))
    limit = {
        "verb": verb,
        "value": use.value,
        "remaining": math.floor(use.remaining),
        "unit": "SECOND",
        "next-available": available.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"uri": uri, "regex": regex, "limit": [limit]}


def _value(use: LimitUse) -> int:
    return UNLIMITED if not use.value and use.name in _RATES else max(0, use.value)


def _short(usage: float) -> float:
    """Whole numbers for counts; fractions for rates."""
    return int(usage) if usage == int(usage) else usage
