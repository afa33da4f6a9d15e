"""The usage record of a finished call. Pure."""

from gateway.http.context import RequestContext
from gateway.telemetry.outcome import Outcome
from operations.store.usage import CallRecord

# The routes of calls. Requests about limits, operations or usage leave no record.
ROUTES = frozenset(["invoke", "checksums.object", "checksums.query", "checksums.bulk", "events"])
_MAX_ID, _MAX_NAME = 64, 128


def record_of(
    context: RequestContext, status: int, outcome: Outcome, *, seconds: float, now: float
) -> CallRecord | None:
    """The record; None if the request was not admitted as a call: then it was charged nothing, and leaves nothing.

    Args:
        context: of the request, after its answer.
        status: of the answer; 499: the caller had left.
        outcome: as in the access log.
        seconds: from the head of the request to the end of its answer.
        now: seconds since the epoch, at its end.
    """
    usage, project_id, user_id = context.usage, context.log.project_id, context.log.user_id
    if context.log.operation is not None:
        # The call has become an operation. The request with which a worker carries it out leaves the record.
        return None
    if usage is None or project_id is None or user_id is None or context.route not in ROUTES:
        return None
    return CallRecord(
        id=context.attempt_at or context.request_id,
        project_id=project_id[:_MAX_ID],
        user_id=user_id[:_MAX_ID],
        function=usage.function[:_MAX_ID],
        revision=usage.revision[:_MAX_NAME],
        outcome=outcome.value,
        status=status,
        started_at=max(0, round((now - seconds) * 1000)),
        duration_ms=round(seconds * 1000),
        function_ms=round(usage.function_seconds * 1000),
        mib_ms=round(usage.mib_seconds * 1000),
        cold_start=usage.cold_start,
        requests=usage.requests,
        request_bytes=usage.request_bytes,
        response_bytes=usage.response_bytes,
        object_bytes=usage.object_bytes,
    )
