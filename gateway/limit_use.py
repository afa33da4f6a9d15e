"""The use of one limit, and the header fields that report it to callers. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Quota units other than requests (draft-ietf-httpapi-ratelimit-headers-10, 3.1.2).
_UNITS = {"concurrent_calls": "concurrent-requests", "bytes_per_second": "content-bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """One limit and its use, in the limit's own unit.

    Attributes:
        name: as `GET /v1/limits` names it.
        value: the limit; of a rate 0: not limited, below 0: nothing is allowed.
        usage: current usage.
        remaining: what can be taken now.
        wait_seconds: seconds until something can be taken.
        capacity: what can be taken at once when nothing is in use.
        reset_seconds: seconds until the full capacity is available again without further use; None: when calls end.
    """

    name: str
    value: int
    usage: float
    remaining: float
    wait_seconds: float = 0.0
    capacity: float = math.inf
    reset_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverLimit:
    """What a refused request would have exceeded, with the fields of oslo.limit's `OverLimitInfo`.

    Attributes:
        resource_name: as in Keystone's registered limits.
        limit: the number in force; -1: none.
        current_usage: in the unit of the limit.
        delta: what the request needs in addition.
    """

    resource_name: str
    limit: int
    current_usage: float
    delta: int


def ratelimit_fields(uses: Iterable[LimitUse]) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), Lists of RFC 9651.

    A limit per second is a token bucket, so its window is the time in which an empty bucket fills.
    """
    policies, states = [], []
    for use in uses:
        if use.value <= 0 or use.capacity == math.inf:
            continue
        unit = f';qu="{_UNITS[use.name]}"' if use.name in _UNITS else ""
        rate = use.reset_seconds is not None
        window = f";w={max(1, math.ceil(use.capacity / use.value))}" if rate else ""
        reset = f";t={math.ceil(use.reset_seconds or 0)}" if rate else ""
        policies.append(f'"{use.name}";q={math.floor(use.capacity)}{window}{unit}')
        states.append(f'"{use.name}";r={max(0, math.floor(use.remaining))}{reset}')
    if not states:
        return []
    return [
        (b"ratelimit-policy", ", ".join(policies).encode("ascii")),
        (b"ratelimit", ", ".join(states).encode("ascii")),
    ]
