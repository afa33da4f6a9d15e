"""Request outcomes: values of a metric label, so the list is closed."""

from enum import StrEnum

from gateway.errors import ErrorCode

CALLER_GONE = 499
FIRST_REFUSAL, FIRST_FAULT = 400, 500


class Outcome(StrEnum):
    """The side that is responsible for the end of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"
    LIMITED = "limited"
    GONE = "gone"
    BACKEND = "backend"
    FUNCTION = "function"
    FAULT = "fault"


# Services of the operator that the gateway depends on.
_BACKENDS = frozenset(
    kind.code
    for kind in (
        ErrorCode.KEYSTONE_UNAVAILABLE,
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.DIRECTORY_UNAVAILABLE,
        ErrorCode.KUBERNETES_UNAVAILABLE,
        ErrorCode.OBJECT_TRUNCATED,
    )
)
_LIMITS = frozenset(kind.code for kind in ErrorCode if kind.status == ErrorCode.CONCURRENCY_EXCEEDED.status)
# A stream can end with one of these after its head was sent.
_ACCESS_LOST = frozenset(
    kind.code for kind in ErrorCode if kind.status in {ErrorCode.TOKEN_INVALID.status, ErrorCode.ROLE_MISSING.status}
)
# Logged as the error of a caller that disconnected, even after the head of its answer.
GONE = "caller.gone"
# Logged as the error of an answer that broke off after its head.
BROKEN = "reply.truncated"


def outcome_of(status: int, error: object) -> Outcome:  # noqa: PLR0911 - one for each outcome
    """The outcome.

    Args:
        status: of the answer; 499 if there was none.
        error: the code of our error; None if the status is a function's own, or a success.
    """
    if status == CALLER_GONE:
        return Outcome.GONE
    if error == BROKEN:
        return Outcome.FUNCTION
    if status < FIRST_REFUSAL:
        return Outcome.REFUSED if error in _ACCESS_LOST else Outcome.ANSWERED
    if error in _LIMITS:
        return Outcome.LIMITED
    if status < FIRST_FAULT:
        return Outcome.REFUSED
    if error in _BACKENDS:
        return Outcome.BACKEND
    return Outcome.FAULT if error == ErrorCode.INTERNAL.code else Outcome.FUNCTION
