"""A project's limits in OpenStack's formats: `limits` of Nova and Cinder, `usage` of Glance. Pure."""

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

from gateway.limit_use import LimitUse
from gateway.limits.model import BYTES_PER_SECOND, CONCURRENT_CALLS, REQUESTS_PER_SECOND
from policies.model import Limits

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


def limits_document(used: Iterable[LimitUse], record: Limits | None, *, now: dt.datetime) -> dict[str, Any]:
    """The answer to `GET /v1/limits`.

    Args:
        used: the limits of the project, in the order in which they are shown.
        record: the limits of the project's record, which also size its namespace; None: there is no record.
        now: for `next-available`, in UTC.
    """
    uses = tuple(used)
    absolute: dict[str, float] = {}
    for use in uses:
        most, taken = _ABSOLUTE[use.name]
        absolute |= {most: _value(use), taken: _short(use.usage)}
    if record is not None:
        absolute |= {"maxPods": record.pods, "maxCpuMillis": record.cpu_millis, "maxMemoryMiB": record.memory_mib}
    return {
        "limits": {
            "rate": [_rate(use, now) for use in uses if use.name in _RATES and use.value],
            "absolute": absolute,
        },
        "usage": {use.name: {"limit": _value(use), "usage": _short(use.usage)} for use in uses},
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
    return UNLIMITED if not use.value and use.name in _RATES else use.value


def _short(usage: float) -> float:
    """Whole numbers for counts; fractions for rates."""
    return int(usage) if usage == int(usage) else usage
