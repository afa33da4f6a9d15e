"""What became of a firing: from errors and replies to outcomes. Pure."""

from dataclasses import dataclass

from gateway.errors import ErrorCode, GatewayError
from tenancy.model.trigger import (
    FUNCTION_NOT_READY,
    LOOP,
    ROLE_MISSING,
    SUSPENDED,
    TRUST_FOREIGN,
    TRUST_REFUSED,
    Outcome,
)

_CLIENT_ERROR, _SERVER_ERROR, _TOO_MANY = 400, 500, 429
# They say that the trigger itself may not act, for any object. The others say something about the object.
_STANDING = {
    ErrorCode.ROLE_MISSING: ROLE_MISSING,
    ErrorCode.TENANT_SUSPENDED: SUSPENDED,
    ErrorCode.TENANT_NOT_ONBOARDED: SUSPENDED,
    ErrorCode.TOKEN_INVALID: TRUST_REFUSED,
    ErrorCode.FUNCTION_NOT_FOUND: FUNCTION_NOT_READY,
}
TRUST_IS_REFUSED = (
    "Keystone rejects the trust: it was deleted, or its user or project is disabled, or the user has lost a role. Set "
    "the trigger again as a member of the project"
)
TRUST_IS_FOREIGN = "the trust is of another user or project than the trigger says. Set the trigger again"
IS_LOOPING = "its output can lead back to it through triggers of the project, so none of them fires. Change an output"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringResult:
    """The outcome of one firing.

    Attributes:
        outcome: see `Outcome`; None: the same event was processed before, or its object is gone.
        reason: the reason of the condition `Ready` if the trigger itself may not act, else "".
        message: for its owner.
        error: the temporary failure because of which the event must be delivered again.
    """

    outcome: Outcome | None
    word: str
    id: str = ""
    reason: str = ""
    message: str = ""
    error: GatewayError | None = None


def refused(reason: str, message: str) -> FiringResult:
    """The trigger may not act."""
    return FiringResult(outcome=Outcome.REFUSED, word="refused", reason=reason, message=message)


LOOPING = refused(LOOP, IS_LOOPING)
REFUSED_TRUST = refused(TRUST_REFUSED, TRUST_IS_REFUSED)
FOREIGN_TRUST = refused(TRUST_FOREIGN, TRUST_IS_FOREIGN)


def of_error(error: GatewayError, event_id: str = "") -> FiringResult:
    """The result of a call that ended with an error of ours."""
    kind = error.kind
    if kind is ErrorCode.OBJECT_EXISTS:
        return FiringResult(outcome=Outcome.EXISTS, word="output_exists", id=event_id, message=error.message)
    if kind in _STANDING:
        reason = _STANDING[kind]
        message = TRUST_IS_REFUSED if reason == TRUST_REFUSED else error.message
        return FiringResult(outcome=Outcome.REFUSED, word="refused", id=event_id, reason=reason, message=message)
    if error.retry_after_seconds is not None or kind.status >= _SERVER_ERROR:
        return FiringResult(outcome=Outcome.FAILED, word="failed", id=event_id, message=error.message, error=error)
    return FiringResult(outcome=Outcome.REFUSED, word="refused", id=event_id, message=error.message)


def of_status(status: int, text: str, function: str, event_id: str) -> FiringResult:
    """The result of a call that the function has answered."""
    if status < _CLIENT_ERROR:
        return FiringResult(outcome=Outcome.SUCCEEDED, word="fired", id=event_id)
    why = f"it answered with the status {status}" + (f": {text}" if text else "")
    if status >= _SERVER_ERROR or status == _TOO_MANY:
        error = GatewayError(ErrorCode.FUNCTION_FAILED, function=function, why=why, retry_after_seconds=5)
        return of_error(error, event_id)
    message = f"The function '{function}' rejected the event: {why}."
    return FiringResult(outcome=Outcome.REJECTED, word="rejected", id=event_id, message=message)
