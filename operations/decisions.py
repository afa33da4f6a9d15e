"""What becomes of an operation after an attempt. Pure.

An answer of the gateway's own carries `Osfaas-Error`, which no function can send. So a function's answer is never taken
for a refusal that came before the function.
"""

import random
from dataclasses import dataclass

from gateway.errors import ERROR_FIELD, ErrorCode, GatewayError
from operations.store.model import Claim, Failure, Fields, Result, State, StoredObject

_FIRST_REFUSAL, _FIRST_FAULT = 400, 500
_TOO_MANY, _UNAVAILABLE = 429, 503
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 300.0
# A function may not postpone an operation for longer at a time.
_LONGEST_RETRY_AFTER_SECONDS = 3_600
# The project has no room: the attempt never began, and other work of the project would fare no better.
NO_ROOM = frozenset(
    kind.code
    for kind in (
        ErrorCode.CONCURRENCY_EXCEEDED,
        ErrorCode.RATE_EXCEEDED,
        ErrorCode.BYTES_EXCEEDED,
        ErrorCode.BULK_EXCEEDED,
    )
)
# Refused before anything was sent to the function, for a reason that passes.
_BEFORE = frozenset(kind.code for kind in (ErrorCode.KEYSTONE_UNAVAILABLE, ErrorCode.DIRECTORY_UNAVAILABLE))
# Of the object store, or of Keystone before it: another attempt may fare better.
_PASSING = frozenset([ErrorCode.STORE_UNAVAILABLE, ErrorCode.KEYSTONE_UNAVAILABLE, ErrorCode.TOKEN_INVALID])
_NOT_ALLOWED = (
    "the trust of the operation has no role (OSFAAS_OPERATION_ROLES) and no ACL of the container with which the object "
    "store allows it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The operation ends."""

    state: State
    result: Result | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """The operation is queued again.

    Attributes:
        counted: whether the attempt counts.
        whole_project: whether the project gets no turn meanwhile.
    """

    delay_seconds: float
    counted: bool = True
    whole_project: bool = False


Decision = Finish | Postpone


def after_answer(claim: Claim, result: Result, *, max_attempts: int) -> Decision:
    """The decision about an answer that is complete."""
    error = _own_error(result.fields)
    retry_after = _retry_after(result.fields)
    if error in NO_ROOM:
        return Postpone(delay_seconds=max(1.0, retry_after), counted=False, whole_project=True)
    if result.status < _FIRST_REFUSAL:
        return Finish(state=State.SUCCEEDED, result=result)
    passing = result.status >= _FIRST_FAULT or result.status == _TOO_MANY
    again = error in _BEFORE or (passing and claim.repeatable and error != ErrorCode.INTERNAL.code)
    if again and claim.attempts < max_attempts:
        return Postpone(delay_seconds=max(delay_seconds(claim.attempts), retry_after))
    failure = failure_of(
        ErrorCode.FUNCTION_FAILED, function=claim.subject, why=f"it answered with the status {result.status}"
    )
    if error is not None:
        failure = Failure(code=error, message=f"The gateway answered with the status {result.status}.")
    return Finish(state=State.FAILED, result=result, failure=failure)


def after_failure(claim: Claim, why: str, *, sent: bool, max_attempts: int) -> Decision:
    """The decision about an attempt without a complete answer. `sent`: whether a byte of the request may have been."""
    if sent and not claim.repeatable:
        return Finish(state=State.FAILED, failure=outcome_unknown(claim.request.method))
    if claim.attempts < max_attempts:
        return Postpone(delay_seconds=delay_seconds(claim.attempts))
    return Finish(state=State.FAILED, failure=failure_of(ErrorCode.OPERATION_UNREACHABLE, why=why))


def after_body(claim: Claim, stored: StoredObject, error: GatewayError, *, max_attempts: int) -> Decision:
    """The decision about an attempt for which the store did not give the body of the request. Nothing was sent."""
    if error.kind in _PASSING:
        return after_failure(claim, error.message, sent=False, max_attempts=max_attempts)
    if error.kind is ErrorCode.OBJECT_CHANGED:
        return Finish(state=State.FAILED, failure=failure_of(ErrorCode.OPERATION_BODY_CHANGED, object=stored.path))
    why = _NOT_ALLOWED if error.kind is ErrorCode.OBJECT_FORBIDDEN else error.message
    failure = failure_of(ErrorCode.OPERATION_STORAGE_REFUSED, container=stored.container, why=why)
    return Finish(state=State.FAILED, failure=failure)


def after_unkept_result(claim: Claim, container: str, error: GatewayError, *, max_attempts: int) -> Decision:
    """The decision about an answer whose body the store did not take."""
    if error.kind in _PASSING and claim.repeatable and claim.attempts < max_attempts:
        return Postpone(delay_seconds=delay_seconds(claim.attempts))
    why = _NOT_ALLOWED if error.kind is ErrorCode.OBJECT_FORBIDDEN else error.message.rstrip(".")
    failure = failure_of(ErrorCode.OPERATION_RESULT_NOT_STORED, container=container, why=why)
    return Finish(state=State.FAILED, failure=failure)


def delay_seconds(attempts: int) -> float:
    """Back-off before the next attempt: exponential, with jitter, so that operations do not come back all at once."""
    whole = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(attempts, 20))
    return random.uniform(whole / 2, whole)  # noqa: S311 - no secret


def failure_of(kind: ErrorCode, **words: object) -> Failure:
    """A failure with the sentence of an error code."""
    return Failure(code=kind.code, message=kind.value.sentence.format_map(words))


def outcome_unknown(method: str) -> Failure:
    """The failure of a request that may have been executed, and is not repeated."""
    return failure_of(ErrorCode.OPERATION_OUTCOME_UNKNOWN, method=method)


def is_token_rejected(result: Result) -> bool:
    """Whether the gateway has rejected our token."""
    return _own_error(result.fields) == ErrorCode.TOKEN_INVALID.code


def _own_error(fields: Fields) -> str | None:
    name = ERROR_FIELD.lower().encode("ascii")
    return next((value.decode("latin-1") for key, value in fields if key == name), None)


def _retry_after(fields: Fields) -> float:
    """Seconds; 0 if nothing is said, or a date."""
    value = next((value for key, value in fields if key == b"retry-after"), b"")
    return float(min(int(value[:9]), _LONGEST_RETRY_AFTER_SECONDS)) if value.isdigit() else 0.0
