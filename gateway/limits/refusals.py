"""What the caller of an exceeded limit is told. Pure."""

import math

from gateway.errors import ErrorCode, GatewayError
from gateway.limit_use import LimitUse, OverLimit
from gateway.limits.model import BYTES_PER_SECOND, CONCURRENT_CALLS, REQUESTS_PER_SECOND, LimitSubject
from policies.unified_limits import RESOURCE_OF_FIELD

_KINDS = {
    CONCURRENT_CALLS: ErrorCode.CONCURRENCY_EXCEEDED,
    REQUESTS_PER_SECOND: ErrorCode.RATE_EXCEEDED,
    BYTES_PER_SECOND: ErrorCode.BYTES_EXCEEDED,
}
# `Retry-After` where Keystone's limit is 0: a retry helps once an administrator has changed it.
_NEVER_SECONDS = 60.0


def without_rate(name: str, value: int) -> LimitUse:
    """The use of a rate that is not limited, or that allows nothing."""
    if value < 0:
        return LimitUse(name=name, value=value, usage=0.0, remaining=0.0, wait_seconds=_NEVER_SECONDS)
    return LimitUse(name=name, value=0, usage=0.0, remaining=math.inf)


def refusal(subject: LimitSubject, use: LimitUse, *, whose: str | None = None, delta: int = 1) -> GatewayError:
    """The error of an exceeded limit: the limit, its usage, and when to retry (whole seconds).

    Args:
        subject: the project and caller.
        use: of the exceeded limit.
        whose: whose usage exceeds it, for the sentence; None: the project's.
        delta: what the request needs.
    """
    limit = max(0, use.value)
    over = OverLimit(resource_name=RESOURCE_OF_FIELD[use.name].name, limit=limit, current_usage=use.usage, delta=delta)
    return GatewayError(
        _KINDS[use.name],
        whose=whose or f"project {subject.project_id}",
        retry_after_seconds=max(1, math.ceil(use.wait_seconds)),
        reached=use,
        over_limit=(over,),
        limit=limit,
    )
